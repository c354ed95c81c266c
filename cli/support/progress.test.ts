import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findTool, run } from '../../test/fixtures/tools/index.ts';

const MODULE = path.join(import.meta.dirname, 'progress.ts');
const noScript = findTool('script') === undefined ? 'script is not installed' : undefined;

/** A program half way through 2 GiB, that shows its progress for a while and then ends. */
const program = (json: boolean, forMs: number): string => `
  const { Progress } = await import(${JSON.stringify(MODULE)});
  const state = { doneBytes: 2 ** 30, totalBytes: 2 ** 31, details: ['new 3.00 MiB'], fields: { newBytes: 3 } };
  const progress = new Progress(() => state, ${json});
  await new Promise((resolve) => setTimeout(resolve, ${forMs}));
  progress.stop();
  process.stdout.write('RESULT');
`;
const node = (json: boolean, forMs: number): string[] => [
  '--disable-warning=ExperimentalWarning',
  '--input-type=module',
  '--eval',
  program(json, forMs),
];
const quoted = (words: readonly string[]): string =>
  words.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');

async function onTerminal(json: boolean, columns: number): Promise<string> {
  const command = `stty cols ${columns}; ${quoted([process.execPath, ...node(json, 900)])}`;
  const { stdout } = await run('script', ['-qec', command, '/dev/null'], { timeoutMs: 15_000 });
  return stdout;
}

describe.concurrent('progress', () => {
  it('is a bar on a terminal, drawn over itself and wiped at the end', async (context) => {
    context.skip(noScript !== undefined, noScript);
    const output = await onTerminal(false, 120);
    const frames = output.split('\r\u001B[K');
    expect(frames.length).toBeGreaterThanOrEqual(4);
    expect(frames[1]).toMatch(
      /^\[#{12}\.{12}\] 50\.0% {2}new 3\.00 MiB {2}[\d.]+ [KMGT]iB\/s {2}\d+s left$/,
    );
    expect(frames.slice(1, -1).every((frame) => !frame.includes('\n'))).toBe(true);
    // The bar is gone before the result is printed.
    expect(frames.at(-1)).toBe('RESULT');
  });

  it('never wraps on a narrow terminal', async (context) => {
    context.skip(noScript !== undefined, noScript);
    const frames = (await onTerminal(false, 40)).split('\r\u001B[K');
    expect(frames.length).toBeGreaterThanOrEqual(4);
    for (const frame of frames.slice(1, -1)) expect(frame.length).toBeLessThan(40);
  });

  it('is one JSON document a line for programs, on a terminal too', async (context) => {
    context.skip(noScript !== undefined, noScript);
    const expected = { progress: { doneBytes: 2 ** 30, totalBytes: 2 ** 31, newBytes: 3 } };
    const { stdout, stderr } = await run(process.execPath, node(true, 1300));
    expect(stdout).toBe('RESULT');
    expect(
      stderr
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([expected]);
    expect(await onTerminal(true, 80)).toBe('RESULT');
  });

  it('is a line now and then where there is no terminal, without any bar', async () => {
    const { stdout, stderr } = await run(process.execPath, node(false, 10_600));
    expect(stdout).toBe('RESULT');
    expect(stderr).toMatch(/^50\.0% {2}new 3\.00 MiB {2}[\d.]+ [KMGT]iB\/s {2}\d+s left\n$/);
  });

  it('keeps nothing alive and says nothing when the work is short', async () => {
    const { stdout, stderr } = await run(process.execPath, node(false, 50));
    expect([stdout, stderr]).toEqual(['RESULT', '']);
  });
});

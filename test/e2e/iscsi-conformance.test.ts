/** libiscsi's conformance suite against a read-only unit. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cache } from '../../core/index.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { randomDisk, startTarget, type TargetFixture } from './iscsi/fixture.ts';

const TOOL = 'iscsi-test-cu';
const DISK = 'iqn.2026-01.test:disk';
const DISK_BYTES = 16 * 1024 * 1024;

/**
 * What fails without `--dataloss`, and why it says nothing of the target: the tool then keeps its
 * own PERSISTENT RESERVE OUT and WRITE AND VERIFY back, and counts that as a failure.
 */
const BLOCKED_BY_THE_TOOL = [
  /^PrinReadKeys\.Truncate$/,
  /^Prout(Register|Reserve|Clear|Preempt)\./,
  /^WriteVerify(10|12|16)\.Dpo$/,
];

/** Suites in which a read-only unit must pass every test, none skipped but those named. */
const MUST_PASS: Readonly<Record<string, readonly string[]>> = {
  // One test writes first, which the tool holds back without --dataloss.
  GetLBAStatus: ['UnmapSingle'],
  Inquiry: [],
  Mandatory: [],
  NoMedia: [],
  Prefetch10: [],
  Prefetch16: [],
  PrinServiceactionRange: [],
  Read6: [],
  // One test writes first, as above.
  Read10: ['Async'],
  Read12: [],
  Read16: [],
  ReadCapacity10: [],
  ReadCapacity16: [],
  ReportSupportedOpcodes: [],
  // One test ejects a removable medium, which a disk is not.
  StartStopUnit: ['Simple'],
  TestUnitReady: [],
  Verify10: [],
  Verify12: [],
  Verify16: [],
  iSCSIcmdsn: [],
};

interface TestResult {
  readonly name: string;
  readonly result: 'passed' | 'failed' | 'skipped';
}

let fixture: TargetFixture;

beforeAll(async () => {
  fixture = await startTarget();
  // A source that knows its holes, as restore points do: the unit is thin.
  fixture.add(DISK, cache(randomDisk(21, DISK_BYTES).source, { budgetBytes: DISK_BYTES }));
});

afterAll(() => fixture.target.close());

beforeEach((context) => {
  context.skip(findTool(TOOL) === undefined, `not installed: ${TOOL}`);
});

/** Runs a family, suite or test of the tool, each as it counts it. */
async function conform(pattern: string, ...options: string[]): Promise<readonly TestResult[]> {
  const args = [...options, '--verbose', '-t', pattern, fixture.url(DISK)];
  const { stdout } = await run(TOOL, args, { timeoutMs: 120_000, accept: [0, 1] });
  return parseResults(stdout);
}

/** Every test starts with `Test: NAME ...` and ends with a line that ends in its verdict. */
function parseResults(output: string): readonly TestResult[] {
  const results: TestResult[] = [];
  let suite = '';
  for (const block of output.split(/^(?=Suite: )/m)) {
    suite = /^Suite: (\S+)/.exec(block)?.[1] ?? suite;
    for (const test of block.split(/^(?=\s+Test: )/m).slice(1)) {
      const name = /Test: (\S+)/.exec(test)?.[1] ?? '';
      const failed = /FAILED\s*$/m.test(test.replaceAll(/\[FAILED\][^\n]*/g, ''));
      const skipped = test.includes('[SKIPPED]');
      results.push({
        name: `${suite}.${name}`,
        result: failed ? 'failed' : skipped ? 'skipped' : 'passed',
      });
    }
  }
  return results;
}

describe('iscsi-test-cu', () => {
  it('fails only where the tool blocks its own request', async () => {
    const results = await conform('ALL');
    expect(results.length).toBe(230);
    const failed = results.filter(({ result }) => result === 'failed').map(({ name }) => name);
    expect(failed.filter((name) => !BLOCKED_BY_THE_TOOL.some((each) => each.test(name)))).toEqual(
      [],
    );
    expect(failed.length).toBeLessThanOrEqual(18);
  });

  it.each(Object.entries(MUST_PASS))('passes all of %s', async (suite, skipped) => {
    const results = await conform(`ALL.${suite}`);
    expect(results.length).toBeGreaterThan(0);
    const notPassed = results.filter(({ result }) => result !== 'passed');
    expect(notPassed.map(({ name }) => name)).toEqual(skipped.map((name) => `${suite}.${name}`));
  });

  it('finds the unit write-protected, by every command that writes', async () => {
    const results = await conform('ALL.ReadOnly', '--dataloss');
    expect(results).toEqual([{ name: 'ReadOnly.ReadOnlySBC', result: 'passed' }]);
  });

  it('finds the residuals of reads right', async () => {
    const results = await conform('ALL.iSCSIResiduals');
    const reads = results.filter(({ name }) => name.includes('Read'));
    expect(reads.length).toBeGreaterThanOrEqual(4);
    expect(reads.filter(({ result }) => result !== 'passed')).toEqual([]);
  });
});

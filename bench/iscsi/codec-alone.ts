/**
 * How many blocks a second of a repository's only disk are read (from the page cache), checked and
 * decompressed by threads that do nothing else: what a target on the same cores cannot exceed.
 *
 * `node bench/iscsi/codec-alone.ts REPOSITORY --threads 2 --step-blocks 1 --seconds 2`; prints
 * `CodecAlone` as one line of JSON. Each block is decoded into the same memory, so nothing is made or
 * collected. With `--disk`, the product's own disk is read instead, as one reader with 32 reads under
 * way: what is left without a protocol, a socket and a client.
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import {
  type DecodeRequest,
  DirectoryBackend,
  InlineDecoder,
  type NativeDisk,
  NativeRepository,
  resolveDisk,
  Sealer,
} from '../../store-reader/index.ts';

export interface CodecAlone {
  readonly blocksPerSecond: number;
  readonly cpuMicrosecondsPerBlock: number;
}

interface Share {
  readonly location: string;
  readonly requests: readonly DecodeRequest[];
  readonly seconds: number;
}

/** Blocks decoded before the clock starts. */
const WARM_UP_BLOCKS = 300;
const READS_UNDER_WAY = 32;
const READ_BYTES = 4096;

if (isMainThread) await main();
else parentPort?.postMessage(await decodeShare(workerData as Share));

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      threads: { type: 'string', default: '2' },
      'step-blocks': { type: 'string', default: '1' },
      seconds: { type: 'string', default: '2' },
      disk: { type: 'boolean', default: false },
    },
  });
  const [location] = positionals;
  if (location === undefined) throw new Error('usage: codec-alone.ts [--disk] REPOSITORY');
  const threads = Number(values.threads);
  const step = Number(values['step-blocks']);
  const seconds = Number(values.seconds);
  const repository = await NativeRepository.open(location, {
    threads: values.disk ? threads : 0,
    cacheBytes: 64 * 1024 * 1024,
  });
  const [machine = ''] = repository.catalog.points.map((each) => each.machine);
  const { point, disk } = await resolveDisk(repository, `${machine}@latest`);
  const source = repository.openDisk(point, disk);
  const result = values.disk
    ? await readDisk(source, step, seconds)
    : await decodeAll(location, await requestsOf(source, step), threads, seconds);
  console.log(JSON.stringify(result));
  await repository.close();
}

/** Every stored block once, `step` blocks apart, wrapping at the end. */
async function requestsOf(source: NativeDisk, step: number): Promise<DecodeRequest[]> {
  const requests: DecodeRequest[] = [];
  const blocks = Math.floor(source.size / source.blockSize);
  for (let turn = 0, block = 0; turn < blocks; turn += 1, block = (block + step) % blocks) {
    const entry = await source.blockEntry(block);
    if (entry === undefined) continue;
    const { id, pack, offset, length, flags } = entry;
    const reference = { id: new Uint8Array(id), pack, offset, length, flags };
    requests.push({ reference, plainBytes: source.blockSize, isPage: false });
  }
  return requests;
}

async function decodeAll(
  location: string,
  requests: readonly DecodeRequest[],
  threads: number,
  seconds: number,
): Promise<CodecAlone> {
  const shares = Array.from({ length: threads }, (_, thread) =>
    requests.filter((_request, index) => index % threads === thread),
  );
  const results = await Promise.all(
    shares.map(async (share) => {
      const data: Share = { location, requests: share, seconds };
      const worker = new Worker(new URL(import.meta.url), { workerData: data });
      const [result] = (await once(worker, 'message')) as [CodecAlone];
      return result;
    }),
  );
  const blocksPerSecond = results.reduce((sum, each) => sum + each.blocksPerSecond, 0);
  const cpu = results.reduce((sum, each) => sum + each.cpuMicrosecondsPerBlock, 0);
  return { blocksPerSecond, cpuMicrosecondsPerBlock: cpu / results.length };
}

async function decodeShare({ location, requests, seconds }: Share): Promise<CodecAlone> {
  const decoder = new InlineDecoder(new DirectoryBackend(location), new Sealer(undefined));
  const [first] = requests;
  if (first === undefined) throw new Error('the disk has too few blocks');
  const into = new Uint8Array(new SharedArrayBuffer(first.plainBytes));
  const decode = async (index: number): Promise<void> => {
    const request = requests[index % requests.length] ?? first;
    const [result] = await decoder.decode([{ ...request, into }]);
    if (!(result instanceof Uint8Array)) throw result ?? new Error('no result');
  };
  for (let index = 0; index < WARM_UP_BLOCKS; index += 1) await decode(index);
  return await timed(
    seconds,
    (index) => decode(index + WARM_UP_BLOCKS),
    (before) => process.threadCpuUsage(before),
  );
}

async function readDisk(source: NativeDisk, step: number, seconds: number): Promise<CodecAlone> {
  const blocks = Math.floor(source.size / source.blockSize);
  const read = async (index: number): Promise<void> => {
    const offset = ((index * step) % blocks) * source.blockSize;
    await source.readInto(new Uint8Array(READ_BYTES), offset);
  };
  for (let index = 0; index < WARM_UP_BLOCKS; index += 1) await read(index);
  let next = WARM_UP_BLOCKS;
  return await timed(
    seconds,
    async () => {
      const first = next;
      next += READS_UNDER_WAY;
      await Promise.all(Array.from({ length: READS_UNDER_WAY }, (_, index) => read(first + index)));
    },
    (before) => process.cpuUsage(before),
    READS_UNDER_WAY,
  );
}

async function timed(
  seconds: number,
  work: (index: number) => Promise<void>,
  cpuUsage: (before?: NodeJS.CpuUsage) => NodeJS.CpuUsage,
  blocksPerTurn = 1,
): Promise<CodecAlone> {
  const cpuBefore = cpuUsage();
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  let turns = 0;
  for (; performance.now() < endMs; turns += 1) await work(turns);
  const elapsed = (performance.now() - startMs) / 1000;
  const cpu = cpuUsage(cpuBefore);
  const blocks = turns * blocksPerTurn;
  return {
    blocksPerSecond: blocks / elapsed,
    cpuMicrosecondsPerBlock: (cpu.user + cpu.system) / blocks,
  };
}

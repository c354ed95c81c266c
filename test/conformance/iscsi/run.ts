/**
 * `node test/conformance/iscsi/run.ts [--update] [--only NAME]`: libiscsi's conformance suite
 * against each profile; fails on any outcome other than the committed one. `--update` writes the
 * lists anew, for review.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { countOf, differences, formatList, readList } from './outcome-list.ts';
import { PROFILES } from './profiles.ts';

const { values } = parseArgs({
  options: { update: { type: 'boolean', default: false }, only: { type: 'string' } },
});

for (const profile of PROFILES) {
  if (values.only !== undefined && !profile.list.includes(values.only)) continue;
  const results = await profile.run();
  const known = existsSync(profile.list) ? readList(profile.list) : [];
  const counts = (['pass', 'fail', 'skip'] as const).map(
    (outcome) => `${countOf(results, outcome)} ${outcome}`,
  );
  say(`${profile.name}: ${results.length} tests, ${counts.join(', ')}`);
  if (values.update) {
    writeFileSync(profile.list, formatList(results, known));
    continue;
  }
  for (const line of differences(known, results)) {
    say(`  ${line}`);
    process.exitCode = 1;
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

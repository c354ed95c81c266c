/** libiscsi's conformance suite: every outcome is the committed one. */
import { beforeEach, describe, expect, it } from 'vitest';
import { countOf, differences, readList } from '../conformance/iscsi/outcome-list.ts';
import { PROFILES } from '../conformance/iscsi/profiles.ts';
import { TOOL } from '../conformance/iscsi/tool.ts';
import { findTool } from '../fixtures/tools/index.ts';

const TIMEOUT_MS = 240_000;

/** What the committed lists themselves must show, so that no update hides a loss. */
const MUST_SHOW: Readonly<Record<string, { passes: number; failures: number }>> = {
  'iscsi-writable.tsv': { passes: 500, failures: 0 },
  'iscsi-writable-4k.tsv': { passes: 180, failures: 1 },
  // Without --dataloss the tool counts requests that it holds back itself.
  'iscsi-read-only.tsv': { passes: 90, failures: 18 },
  'iscsi-read-only-dataloss.tsv': { passes: 1, failures: 0 },
  'iscsi-service-writable.tsv': { passes: 180, failures: 0 },
  'iscsi-service-read-only.tsv': { passes: 90, failures: 18 },
  'iscsi-service-read-only-dataloss.tsv': { passes: 1, failures: 0 },
};

beforeEach((context) => {
  context.skip(findTool(TOOL) === undefined, `not installed: ${TOOL}`);
});

describe.each(PROFILES.map((profile) => [profile.name, profile] as const))(
  'iscsi-test-cu against a unit that is %s',
  (_, profile) => {
    it('ends as committed, test by test', { timeout: TIMEOUT_MS }, async () => {
      const expected = readList(profile.list);
      const bounds = MUST_SHOW[profile.list.split('/').at(-1) ?? ''];
      expect(countOf(expected, 'pass')).toBeGreaterThanOrEqual(bounds?.passes ?? Infinity);
      expect(countOf(expected, 'fail')).toBeLessThanOrEqual(bounds?.failures ?? -1);
      const unexplained = expected.filter(({ outcome, why }) => outcome !== 'pass' && why === '');
      expect(unexplained).toEqual([]);
      expect(differences(expected, await profile.run())).toEqual([]);
    });
  },
);

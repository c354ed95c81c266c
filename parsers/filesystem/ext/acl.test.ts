import { describe, expect, it } from 'vitest';
import { aclToInterchange } from './acl.ts';

describe('a stored access control list', () => {
  // Sound ones are held against the kernel's in test/golden/ext.test.ts.
  it.each([
    ['nothing', ''],
    ['another version', '02000000'],
    ['an unknown tag', '0100000003000700'],
    ['half an entry', '010000000200070001'],
    ['a name without a number', '0100000002000700'],
  ])('that is %s is damage', (_, stored) => {
    expect(() => aclToInterchange(Buffer.from(stored, 'hex'))).toThrow(/access control list/u);
  });
});

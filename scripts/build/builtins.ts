import type { Plugin } from 'rolldown';

const PREFIX = '\0builtin:';

/**
 * Takes from Node's own modules only what is used. To import one makes Node look at everything that it
 * exports, and so load much of what those parts are made of: a quarter of the time to start (ADR 43).
 */
export function usedPartsOfBuiltins(): Plugin {
  return {
    name: 'used-parts-of-builtins',
    resolveId: (id) => (isBuiltin(id) ? { id: PREFIX + id, moduleSideEffects: false } : null),
    load: (id) => (id.startsWith(PREFIX) ? moduleOf(id.slice(PREFIX.length)) : null),
  };
}

function isBuiltin(id: string): boolean {
  return process.getBuiltinModule(id) !== undefined;
}

/** Every export by itself, so that the bundler drops those that nobody imports. */
function moduleOf(id: string): string {
  const names = Object.keys(process.getBuiltinModule(id) ?? {}).filter(
    (name) => name !== 'default',
  );
  return [
    `const builtin = process.getBuiltinModule(${JSON.stringify(id)});`,
    'const part = (name) => builtin[name];',
    'export default builtin;',
    ...names.map((name, index) => {
      return `const part${index} = /* @__PURE__ */ part(${JSON.stringify(name)});`;
    }),
    `export { ${names.map((name, index) => `part${index} as ${name}`).join(', ')} };`,
  ].join('\n');
}

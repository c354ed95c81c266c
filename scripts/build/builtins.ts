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

/** Modules that cost milliseconds to load, and that most commands call late or never. */
const LOADED_WHEN_CALLED: readonly string[] = ['node:crypto'];

/** Every export by itself, so that the bundler drops those that nobody imports. */
function moduleOf(id: string): string {
  if (LOADED_WHEN_CALLED.includes(id)) return lateModuleOf(id);
  const builtin = `process.getBuiltinModule(${JSON.stringify(id)})`;
  const part = (name: string): string => `/* @__PURE__ */ part(${JSON.stringify(name)})`;
  return [
    `const builtin = ${builtin};`,
    'const part = (name) => builtin[name];',
    'export default builtin;',
    ...exportsOf(namesOf(id), part),
  ].join('\n');
}

/** Functions alone: to import anything else of such a module fails when it is compiled. */
function lateModuleOf(id: string): string {
  const call = (name: string): string =>
    `(...args) => process.getBuiltinModule(${JSON.stringify(id)}).${name}(...args)`;
  const builtin = process.getBuiltinModule(id) as unknown as Readonly<Record<string, unknown>>;
  const isFunction = (name: string): boolean =>
    /^[a-z]/.test(name) && typeof builtin[name] === 'function';
  return exportsOf(Object.keys(builtin).filter(isFunction), call).join('\n');
}

function namesOf(id: string): string[] {
  return Object.keys(process.getBuiltinModule(id) ?? {}).filter((name) => name !== 'default');
}

function exportsOf(names: readonly string[], valueOf: (name: string) => string): string[] {
  return [
    ...names.map((name, index) => `const part${index} = ${valueOf(name)};`),
    `export { ${names.map((name, index) => `part${index} as ${name}`).join(', ')} };`,
  ];
}

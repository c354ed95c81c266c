/** Where the target reports; any pino logger fits. Secrets are never passed to it. */
export interface IscsiLogger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

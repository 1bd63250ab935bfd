/** The groups of commands, each a file that is loaded only when it is called. */
import type { Command } from 'commander';

type Register = (program: Command) => void;

/** In the order of the help. */
export const groups: Readonly<Record<string, () => Promise<Register>>> = {
  demo: async () => (await import('./demo/demo.ts')).registerDemo,
  run: async () => (await import('./run.ts')).registerRun,
  replay: async () => (await import('./replay.ts')).registerReplay,
  image: async () => (await import('./image.ts')).registerImage,
  center: async () => (await import('./center.ts')).registerCenter,
  host: async () => (await import('./host.ts')).registerHost,
  gateway: async () => (await import('./gateway.ts')).registerGateway,
  vm: async () => (await import('./vm.ts')).registerVm,
  record: async () => (await import('./record.ts')).registerRecord,
  alarm: async () => (await import('./alarm.ts')).registerAlarm,
  ft: async () => (await import('./ft.ts')).registerFt,
  task: async () => (await import('./task.ts')).registerTask,
  login: async () => (await import('./login.ts')).registerLogin,
  logout: async () => (await import('./login.ts')).registerLogout,
  whoami: async () => (await import('./login.ts')).registerWhoami,
  user: async () => (await import('./user.ts')).registerUser,
  token: async () => (await import('./token.ts')).registerToken,
  'support-bundle': async () => (await import('./support-bundle.ts')).registerSupportBundle,
  audit: async () => (await import('./audit.ts')).registerAudit,
};

/** `umbra gateway start`. */
import type { Command } from 'commander';
import { registerGatewayStart } from './gateway-start.ts';

export function registerGateway(program: Command): void {
  registerGatewayStart(program.command('gateway').description("the guests' way to the outside"));
}

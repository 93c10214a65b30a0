export type { Isolation, Sandbox } from './isolation/isolation.ts';

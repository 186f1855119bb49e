import type { TestProject } from "vitest/node";
import { type System, startSystem } from "./system.ts";

declare module "vitest" {
  export interface ProvidedContext {
    system: System;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { system, stop } = await startSystem("open");
  project.provide("system", system);
  return stop;
}

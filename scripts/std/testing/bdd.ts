import {
  after,
  afterEach as nodeAfterEach,
  before,
  beforeEach as nodeBeforeEach,
  describe as nodeDescribe,
  it as nodeIt,
} from "node:test";

type Body = () => void | Promise<void>;

/** Groups tests. */
export function describe(name: string, fn: () => void): void {
  nodeDescribe(name, fn);
}

/** Defines a test. */
export function it(name: string, fn: Body): void {
  nodeIt(name, fn);
}

/** Runs before the first test of the group. */
export function beforeAll(fn: Body): void {
  before(fn);
}

/** Runs after the last test of the group. */
export function afterAll(fn: Body): void {
  after(fn);
}

/** Runs before each test of the group. */
export function beforeEach(fn: Body): void {
  nodeBeforeEach(fn);
}

/** Runs after each test of the group. */
export function afterEach(fn: Body): void {
  nodeAfterEach(fn);
}

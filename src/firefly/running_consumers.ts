import { Alerts } from "../alerts/alerts.ts";
import { type AlertOptions, checkAlerts } from "../alerts/options.ts";
import { type Consumer, type ConsumerHost, startConsumer } from "../consume/consume.ts";
import type { ConsumeOptions } from "../consume/options.ts";
import { CREATE_INSTANCE } from "./options.ts";

/** The consumers that an instance has started and that have not ended. While there are any, alerts are sent. */
export class RunningConsumers {
  readonly #host: ConsumerHost;
  readonly #alerts: Alerts | undefined;
  readonly #consumers = new Set<Consumer>();

  constructor(host: ConsumerHost, alerts: AlertOptions | undefined) {
    this.#host = host;
    this.#alerts = alerts && new Alerts(host, checkAlerts(alerts, CREATE_INSTANCE));
  }

  /** Starts another one. */
  start(options: ConsumeOptions): Consumer {
    const consumer = startConsumer(this.#host, options, () => {
      this.#consumers.delete(consumer);
      if (this.#consumers.size === 0) this.#alerts?.end();
    });
    this.#consumers.add(consumer);
    this.#alerts?.begin(options);
    return consumer;
  }

  /** Those that run. */
  get all(): readonly Consumer[] {
    return [...this.#consumers];
  }

  /** Stops all of them. */
  async stop(): Promise<void> {
    await Promise.all(this.all.map((consumer) => consumer.stop()));
    await this.#alerts?.end();
  }
}

import type { Tag } from "../database/driver.ts";
import type { Listener, ListenerState } from "../notify/listener.ts";

/** The health of a running consumer. */
export interface LoopHealth {
  readonly responsive: boolean;
  readonly leased: boolean;
  readonly listener: ListenerState;
  readonly stopping: boolean;
}

/** The connections of a consumer beside those of its environment. */
export interface ConsumerConnections {
  readonly listener: Listener;
  /** The tag of the connection that renews the lease. */
  readonly leaseConnection: Tag;
  /** Where the database is, for the event `consumer.started`. */
  readonly database: string;
}

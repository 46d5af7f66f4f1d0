import { monitorEventLoopDelay } from 'node:perf_hooks'
import prom from 'prom-client'

/** A number that only grows; adding to it is one addition, the text is made when it is asked for. */
export interface Counter {
  readonly value: number
  add(amount?: number): void
}

/** Counts by what happened, for what happens too seldom to be worth a counter of its own; one value for each label. */
export interface Tally {
  add(...values: readonly string[]): void
}

/** Measured values sorted into buckets. */
export interface Histogram {
  observe(value: number): void
}

export type Labels = Readonly<Record<string, string>>

/** How often the delay of the event loop is sampled, in milliseconds: seldom enough to cost an idle server nothing. */
const SAMPLE_MS = 20

interface Series {
  readonly labels: Labels
  readonly read: () => number
}

class PlainCounter implements Counter {
  value = 0
  add(amount = 1): void {
    this.value += amount
  }
}

/** The server's own numbers, in the text format of Prometheus. Every name begins with `waxwing_`. */
export class Metrics {
  /** What tells numbers of this process from those of the others of one server. */
  readonly process: Labels
  readonly #registry = new prom.Registry()
  readonly #counters = new Map<string, Series[]>()
  readonly #gauges = new Map<string, Series[]>()

  readonly contentType = this.#registry.contentType

  /** The name is for one of several processes. */
  constructor(process?: string) {
    this.process = process === undefined ? {} : { process }
  }

  /** A counter; the same name may be asked for again with other values of the same labels. */
  counter(name: string, help: string, labels: Labels = {}): Counter {
    const counter = new PlainCounter()
    this.total(name, help, () => counter.value, labels)
    return counter
  }

  /** A number that somebody else lets grow, read when the metrics are asked for. */
  total(name: string, help: string, read: () => number, labels: Labels = {}): void {
    const known = this.#counters.get(name)
    if (known !== undefined) return void known.push({ labels, read })
    const series: Series[] = [{ labels, read }]
    this.#counters.set(name, series)
    const metric: prom.Counter = new prom.Counter({
      name: `waxwing_${name}`,
      help,
      labelNames: Object.keys(labels),
      registers: [this.#registry],
      collect() {
        metric.reset()
        for (const each of series) metric.inc(each.labels, each.read())
      },
    })
  }

  /** A counter for each set of values that these labels ever had. */
  tally(name: string, help: string, labels: readonly string[]): Tally {
    const counts = new Map<string, { readonly values: readonly string[]; count: number }>()
    const metric: prom.Counter = new prom.Counter({
      name: `waxwing_${name}`,
      help,
      labelNames: [...labels],
      registers: [this.#registry],
      collect() {
        metric.reset()
        for (const { values, count } of counts.values()) metric.labels(...values).inc(count)
      },
    })
    return {
      add(...values) {
        const key = values.join(' ')
        const known = counts.get(key)
        if (known === undefined) counts.set(key, { values, count: 1 })
        else known.count++
      },
    }
  }

  /** A value that is read when the metrics are asked for. */
  gauge(name: string, help: string, read: () => number, labels: Labels = {}): void {
    const known = this.#gauges.get(name)
    if (known !== undefined) return void known.push({ labels, read })
    const series: Series[] = [{ labels, read }]
    this.#gauges.set(name, series)
    const metric: prom.Gauge = new prom.Gauge({
      name: `waxwing_${name}`,
      help,
      labelNames: Object.keys(labels),
      registers: [this.#registry],
      collect() {
        for (const each of series) metric.set(each.labels, each.read())
      },
    })
  }

  /** A histogram with these upper bounds, in the unit that the name ends with. */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram {
    const metric = new prom.Histogram({ name: `waxwing_${name}`, help, buckets: [...buckets], registers: [this.#registry] })
    return { observe: (value) => metric.observe(value) }
  }

  /** Memory, CPU and event loop delay of this process; returns what ends the measuring. */
  watchProcess(): () => void {
    const delay = monitorEventLoopDelay({ resolution: SAMPLE_MS })
    delay.enable()
    // Node counts the sampling interval as delay.
    const seconds = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e9 - SAMPLE_MS / 1e3)
    this.gauge(
      'event_loop_delay_seconds',
      'Delay of the event loop since the last scrape.',
      () => seconds(delay.percentile(50)),
      { ...this.process, quantile: '0.5' },
    )
    this.gauge(
      'event_loop_delay_seconds',
      'Delay of the event loop since the last scrape.',
      () => seconds(delay.percentile(99)),
      { ...this.process, quantile: '0.99' },
    )
    this.gauge(
      'event_loop_delay_seconds',
      'Delay of the event loop since the last scrape.',
      () => {
        const max = seconds(delay.max)
        delay.reset()
        return max
      },
      { ...this.process, quantile: '1' },
    )
    this.gauge('memory_resident_bytes', 'Resident memory of the process.', () => process.memoryUsage.rss(), this.process)
    this.gauge('memory_heap_bytes', 'JavaScript heap in use.', () => process.memoryUsage().heapUsed, this.process)
    this.gauge(
      'memory_external_bytes',
      'Memory of buffers outside of the heap.',
      () => process.memoryUsage().external,
      this.process,
    )
    this.total('cpu_seconds_total', 'CPU time of the process.', () => process.cpuUsage().user / 1e6, {
      ...this.process,
      mode: 'user',
    })
    this.total('cpu_seconds_total', 'CPU time of the process.', () => process.cpuUsage().system / 1e6, {
      ...this.process,
      mode: 'system',
    })
    this.gauge('uptime_seconds', 'Time since the process started.', () => process.uptime(), this.process)
    return () => void delay.disable()
  }

  /** Everything in the text format. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }

  /** Everything as it can be told to another process. */
  numbers(): Promise<unknown> {
    return this.#registry.getMetricsAsJSON()
  }

  /** The numbers of several processes, added up, in the text format. */
  static sumOf(numbers: readonly unknown[]): Promise<string> {
    // Each is what `numbers` of such a process says.
    return prom.AggregatorRegistry.aggregate(numbers as object[]).metrics()
  }
}

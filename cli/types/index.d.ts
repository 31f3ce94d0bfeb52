/**
 * Types of what a function says about itself on Nightshift: Netlify's settings,
 * and the ones that Nightshift adds.
 */
import type { Config as NetlifyConfig, Context as NetlifyContext } from '@netlify/functions'

/** The second argument of a function: Netlify's, and what Nightshift adds. */
export interface Context extends NetlifyContext {
  /**
   * Which attempt of the invocation this is, from 1. An invocation keeps its
   * `requestId` over all its attempts: what is to happen once, do under that id.
   */
  attempt: number
}

/** Settings of every function that Netlify does not have, or does not type. */
export interface FunctionConfig {
  /**
   * Seconds that one attempt may take, up to 900. Without it: 10 for a call that
   * waits, 30 for a schedule, 900 in the background.
   */
  timeout?: number
  /** Attempts after a failed one, 0 to 20. Default 2. A returned status code is never a failure. */
  retries?: number
  /** Seconds before each of them; the last one counts for the rest. Default `[60, 120]`. */
  retryDelays?: number | number[]
  /** How many of its invocations run at once, in the whole installation. Without it: as many as the workers take. */
  concurrency?: number
  /** What runs an invocation that a rollback finds waiting: the deploy that accepted it, or the published one. */
  onRollback?: 'pinned' | 'latest'

  /** Files to pack with the function: globs relative to the function's file, with `!` in front to leave some out. */
  includedFiles?: string[]
  /** Packages to copy as they are, instead of bundling them. */
  externalNodeModules?: string[]
  /** Packages to leave out. */
  ignoredNodeModules?: string[]
  /** All but `esbuild` keep packages as files. */
  nodeBundler?: 'esbuild' | 'nft' | 'zisi' | 'none'
  /** Netlify's display name. It has no effect here. */
  name?: string
}

/** Settings that only a schedule gives a meaning. */
export interface ScheduleConfig {
  /** A cron expression, such as `"0 6 * * *"`, or `"@daily"`. */
  schedule: string
  /** IANA zone that the expression is read in, such as `"Europe/Berlin"`. Default UTC. */
  timezone?: string
  /** What becomes of a tick that is due while the last invocation still runs. Default `allow`. */
  overlap?: 'allow' | 'skip'
  /** Which of the ticks that nobody could fire, because everything was down, are fired late. Default `last`. */
  catchUp?: 'last' | 'all' | 'none'
}

type WithoutSchedule = { [key in keyof ScheduleConfig]?: never }

/**
 * `export const config` of a function. As with Netlify's own `Config`, a
 * function has a `path` or a `schedule`, never both.
 *
 * ```ts
 * import type { Config } from '@nightshift/functions'
 *
 * export const config: Config = { schedule: '0 6 * * *', timezone: 'Europe/Berlin' }
 * ```
 */
export type Config = NetlifyConfig & FunctionConfig & (ScheduleConfig | WithoutSchedule)

/** The default export of a function in its object form. */
export interface FunctionObject {
  fetch: (request: Request, context: Context) => Response | void | Promise<Response | void>
  config?: Config
}

/** What Next.js itself reads in the `config` of an API route. */
interface NextConfig {
  api?: {
    bodyParser?: boolean | { sizeLimit?: number | string | false }
    externalResolver?: boolean
    responseLimit?: boolean | number | string
  }
  maxDuration?: number
  regions?: string | string[]
}

/** Settings that make sense for an API route: bundling is left to Next.js. */
type RouteConfig = Pick<FunctionConfig, 'timeout' | 'retries' | 'retryDelays' | 'concurrency' | 'onRollback'>

/** An API route that answers 202 and runs in the background. */
export interface BackgroundRouteConfig extends NextConfig, RouteConfig, WithoutSchedule {
  type: 'experimental-background'
  runtime?: 'nodejs'
}

/** An API route that a schedule calls. */
export interface ScheduledRouteConfig extends NextConfig, RouteConfig, ScheduleConfig {
  type: 'experimental-scheduled'
  runtime?: 'nodejs'
}

/** An API route as Next.js has it. */
export interface PlainRouteConfig extends NextConfig, RouteConfig, WithoutSchedule {
  type?: never
  runtime?: 'nodejs' | 'edge' | 'experimental-edge'
}

/**
 * `export const config` of an API route of Next.js (pages router).
 *
 * ```ts
 * import type { ApiRouteConfig } from '@nightshift/functions'
 *
 * export const config = { type: 'experimental-background', timeout: 300 } satisfies ApiRouteConfig
 * ```
 */
export type ApiRouteConfig = BackgroundRouteConfig | ScheduledRouteConfig | PlainRouteConfig

export * from './lib/v1.mjs'

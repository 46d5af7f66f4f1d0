/** One thing the doctor looked at. `bad` keeps people from using the server, `doubtful` may. */
export type Finding =
  | { readonly kind: 'good'; readonly what: string }
  | { readonly kind: 'doubtful' | 'bad'; readonly what: string; readonly fix: string }

/** When marks were taken off. */
export const archive = {
  title: 'archive',
  sql: `
    CREATE TABLE taken (owner INTEGER NOT NULL, id INTEGER NOT NULL, at_ms REAL NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
  `,
} as const

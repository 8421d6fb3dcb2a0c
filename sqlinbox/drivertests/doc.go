// Package drivertests has a package of tests for each further driver of sqlinbox. Two of them
// register the same name with database/sql, so that no program can have all. They need a C
// compiler, and PostgreSQL and PgBouncer where these are concerned.
package drivertests

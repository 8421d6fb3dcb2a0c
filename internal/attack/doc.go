// Package attack plays a hostile internet against a webhook endpoint: its test starts one in a
// process of its own, sends it everything that a stranger, a careless proxy or a broken sender
// might, all at the same time, and looks at what becomes of the good deliveries in between, of
// the process's memory and goroutines, and of its log.
//
// What it finds stands in docs/reliability.md, and what follows from it in SECURITY.md.
package attack

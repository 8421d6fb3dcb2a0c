// Package ittybittest is a local Ittybit for tests and development: a server that answers
// Ittybit's API (version 2025-08-20), runs tasks and automations, and sends signed webhooks,
// with no account and no network.
//
//	srv := ittybittest.NewTestServer(t)
//	client, err := srv.Client()
//
// The server speaks plain HTTP on a loopback port, so curl or any other client can use it as
// well: send requests to srv.URL with srv.APIKey as the bearer token. Uploads go to a second
// address, srv.StorageURL, and can be downloaded there, as can be what tasks find out and the
// tracks they make. No media is fetched or processed; results are made up, and a test chooses
// them with [Server.SetResults] and [Server.FailTasks].
//
// A handler alone is tested with [NewWebhookRequest] and payloads such as [TaskCompleted].
// [WithoutSockets] fits into testing/synctest. [WithControl] lets programs in any language
// drive the server over HTTP.
//
// What of this Ittybit documents, what the server chose by itself, and what it answers with
// status 501 because too little is documented, is listed in docs/local-server.md.
package ittybittest

// Package ittybittest is a local Ittybit for tests and development: a server
// that answers Ittybit's API (version 2025-08-20), runs tasks and automations,
// and sends signed webhooks, with no account and no network.
//
//	srv := ittybittest.NewServer()
//	defer srv.Close()
//
//	client, err := srv.Client()
//
// The server speaks plain HTTP on a loopback port, so curl or any other client
// can use it as well: send requests to srv.URL with srv.APIKey as the bearer
// token. Uploads go to a second address, srv.StorageURL, and can be downloaded
// there, as can be what tasks find out and the tracks they make. No media is fetched or
// processed; results are made up, and a test chooses them with [Server.SetResults] and
// [Server.FailTasks].
//
// # What is documented by Ittybit
//
//   - Paths, members and statuses of tasks, media, files, signatures and automations; bare objects
//     and bare arrays; errors as {"message": "…"}; ISO 8601 times.
//   - 201 for what was created, and the messages that answer a DELETE.
//   - The Accept-Version header with "2025-08-20" or "latest".
//   - Paging by page and limit (1 to 100, by default 20, for automations 10),
//     the Links header, and an empty list past the end.
//   - A task needs a kind and exactly one of url and file_id; its options stand
//     beside kind and come back under "options". A conditions task has next steps; a
//     workflow task has steps in "workflow".
//   - Media kinds end with a File whose object is "source", subtitles, chapters and
//     thumbnails with a "track", nsfw, speech, description, outline and prompt with an
//     "intelligence" file, whose url serves the results as JSON. Outputs belong to the media
//     of the input.
//   - Webhooks: an HTTPS POST of the task itself; a header
//     "Ittybit-Signature: t=…,v1=…" made with the API key; 200 within five
//     seconds confirms; exponential backoff until then; the events
//     media.created and task.completed; the webhook workflow step.
//   - Signed URLs: base64url without padding of HMAC-SHA256 with the API key over
//     "<path>?expiry=<unix>&method=<get or put>". Uploads are a PUT with the API
//     key or such a signature, whole (201 and a File) or in chunks with
//     "Content-Range: bytes=<start>-<end>/<total>" (202, then 201 and a File).
//   - Idempotency keys (same key within 24 hours: the original response with
//     status 200) are documented for a later version of the API only; they are
//     honoured here because a client may always send them.
//
// # What is this server's own choice
//
//   - The signature is HMAC-SHA256 with the API key over "<t>.<body>", in hex,
//     with t in unix seconds: see [ittybit.SignWebhook]. Ittybit has not
//     published the algorithm.
//   - The retry schedule ([Backoff]), whether a retry is signed anew ([Signing]),
//     the User-Agent, and that nothing but status 200 confirms a delivery. A
//     Retry-After header in the receiver's answer is not looked at. Redirects
//     are not followed. No order is promised between deliveries.
//   - Plain http is allowed in a webhook address on a loopback host. Other hosts
//     are accepted, as Ittybit would, but never dialled: the delivery is recorded
//     with [ErrNotLoopback]. (Without sockets nothing is dialled at all, and every
//     address reaches the receiver: see [WithoutSockets].)
//   - A task moves from pending to processing to completed (or failed) within
//     [WithTaskDuration]. Failed tasks are posted to their webhook_url too.
//     Only the kinds of the 2025-08-20 API are accepted; SetResults or FailTasks
//     with another kind makes it known. Unknown file ids are not looked up.
//   - API answers carry project_id and automation_id, as webhook payloads do.
//   - A task whose url is of this server's storage, signed or not, or that of a File that a
//     task made, has that File as its input from the start. If nothing is there, or the
//     signature is not valid, the task fails. Any other url stands for a made-up file.
//   - The tasks of a workflow task are its children: their parent_id is its id, and they
//     have its input. It is processing until all below it ended, its progress is the share
//     of its steps that ended, and then it completes, or fails if a task below it failed.
//     Its own webhook and its next steps come after that. It has no output and no results.
//     With [WithProgressWebhooks] it is posted when half of its steps ended. In a step of an
//     automation all of this holds too.
//   - Every task may have next steps, not only one of kind conditions: they run once it
//     completed. Those of a conditions task run if its results say "continue": true.
//   - A webhook step posts what its workflow is about: the media, the task that
//     triggered it, in a nested "next" the parent task, or the workflow task (which is
//     still processing then); each with project_id, and automation_id if there is one.
//   - A workflow runs from top to bottom; a step's next steps run once its task
//     completed, and before the step that follows. A failed task ends its own
//     branch only. Steps work on the first source file of the media, or on the input of the
//     workflow task; next steps on the output of the task before, or, where that is no source
//     file, such as subtitles or what nsfw found, on its input. Steps on media without a
//     file complete all the same.
//   - A conditions step makes no task: when each of its prop/value pairs is equal, its next
//     steps run. A prop is looked for in the media and its files; after a task in its output
//     (in its input if there is none), its results, the task itself, the file that next steps
//     work on, and then the media and its files; and where a task triggered the workflow, in
//     the task before its results and output. The first place that has it counts. With a prefix
//     ("task.", "media.", or "file." for the file that steps work on) it is looked for there
//     only.
//   - An output has the size and format of the options, or else those of the input.
//     Subtitles are WebVTT, or SubRip with format "srt"; chapters are JSON, or WebVTT with
//     format "vtt"; thumbnails are one grey picture, of at most 2048 pixels a side. Their
//     filename is such as "video-subtitles.vtt". In the JSON of nsfw the is_nsfw of webhooks is
//     called detected. A task's description goes to the file too, but not to that of a
//     description task, where it would pass for what was found. An http task calls nothing.
//   - An ingest task makes a media object, which is how media with a file comes
//     to be here. What an automation made (tasks, and media from them) triggers
//     no automation, so that none can run without end. The children and next steps of a task
//     that was posted do.
//   - POST /files makes the file at once, or with [WithAsyncFiles] an ingest task
//     (202). Nothing is served at such a file's url, nor at that of a made-up video,
//     image or audio. A changed folder or filename leaves the url as it is. A deleted file's
//     bytes are gone from the storage, and deleted media takes its files along.
//   - Chunks may come in any order, at once and again, but the one that ends the
//     file completes it only if all others are there (202, with what is missing):
//     send it last, or again. "bytes <start>-<end>/<total>", as in RFC 9110, will do.
//     A chunk that overlaps others, or has another total, is refused with 400;
//     unless it starts at byte 0: then it begins the upload anew.
//   - Repeating an upload that completed, or its last chunk, answers with the same
//     File, and a late repeat of another of its chunks changes nothing. Any other
//     upload to the same path replaces the bytes, and the old File with a new one:
//     the old one is gone as if it had been deleted, its media object stays.
//   - A stored file can be downloaded by anyone; a signature, if the address has
//     one, must be valid all the same. A wrong key is refused with 401, a wrong,
//     expired or unfit signature with 403, before the body is read.
//     [WithStorageLimit] bounds the storage (507). Tests read it with
//     [Server.OpenStored]. [WithEmptyUploadAnswers] leaves out the File.
//   - An idempotency key used again with another path or body is refused with
//     409. A request that was answered with an error leaves its key unused.
//   - Request bodies are limited to 1 MiB, workflows to 32 levels of next.
//     A member sent twice in one object is refused.
//
// # Without sockets
//
// With [WithoutSockets] requests and webhooks are function calls, time comes
// only from package time, and every goroutine waits on channels and timers. A
// test inside a testing/synctest bubble then sees hours of retries in
// milliseconds. Make the server, use it and close it inside the bubble.
package ittybittest

package ittybit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/internal/pipeline"
	"github.com/ittybit/ittybit-go/internal/redact"
	"github.com/ittybit/ittybit-go/internal/upload"
)

// Defaults of [UploadParams].
const (
	// DefaultUploadThreshold is the size in bytes above which a file goes up in chunks:
	// the uploads documentation recommends that from 100 MB on.
	DefaultUploadThreshold = 100_000_000
	// DefaultUploadChunkSize is the size of a chunk in bytes, that of the example in the
	// resumable uploads guide.
	DefaultUploadChunkSize = 16 << 20
	// DefaultUploadConcurrency is how many chunks are on their way at once.
	DefaultUploadConcurrency = 4
)

var (
	// ErrUploadIncomplete is matched where Ittybit has not kept all chunks of an upload
	// that it had confirmed, or describes a file of another size; that file comes back, too.
	// Upload the file again without the token. Where the response to the last chunk was lost,
	// the file may be there all the same.
	ErrUploadIncomplete = upload.ErrIncomplete

	// ErrUploadChanged is matched where the body of an upload that is resumed is not the one
	// it was begun with, or has grown or shrunk while it was sent. Upload the file again without
	// the token.
	ErrUploadChanged = upload.ErrChanged

	// ErrUploadUnconfirmed is matched where the response that completes an upload is a success,
	// and describes no file: something on the way may have responded in Ittybit's place. The
	// result comes back together with it. Check whether the file is there, or go on with the
	// token of the [*UploadError]: of a file in chunks only the last one is sent again.
	ErrUploadUnconfirmed = upload.ErrUnconfirmed
)

// UploadParams are the parameters of [FilesService.Upload].
type UploadParams struct {
	// Domain is the project's delivery domain, such as "you.ittybit.net". Folder, such as
	// "holidays/2025", is optional; Filename is required. All three are replaced by SignedURL.
	Domain   string
	Folder   string
	Filename string
	// SignedURL is a URL signed for method put, by [SignedURLsService.Create] or [SignURL].
	// The API key is not sent then.
	SignedURL string

	// Body is the file, from where it stands to its end. One that is an [io.ReaderAt] and an
	// [io.Seeker] too, such as an [*os.File] or an [*io.SectionReader], is read at several
	// places at once, so that chunks go up in parallel and nothing is buffered. Of any other
	// one, a chunk at a time is held in memory. Upload closes nothing.
	Body io.Reader
	// Size is the number of bytes in Body. It is required where Body can't tell.
	Size int64
	// ContentType is the MIME type of the body; where it is not set, none is sent.
	ContentType string

	// Threshold is the size in bytes above which the file goes up in chunks; 0 is
	// DefaultUploadThreshold. A Body that can only be read once goes up in chunks as soon as
	// it is larger than one.
	Threshold int64
	// ChunkSize is in bytes; 0 is DefaultUploadChunkSize.
	ChunkSize int64
	// Concurrency is how many chunks are sent at once; 0 is DefaultUploadConcurrency.
	Concurrency int

	// Resume goes on with an upload that was cut: Body must have the same bytes, from the
	// beginning. What was confirmed is read and compared, and not sent again. The SignedURL
	// may be signed anew.
	Resume UploadToken
	// OnCheckpoint is called with a token for Resume after each chunk that Ittybit has
	// confirmed; never twice at once, and other chunks wait meanwhile. Store it where a
	// crash does not reach it. A token has seven bytes for each chunk of the file, and is
	// made anew each time: where there are tens of thousands, take a larger ChunkSize.
	OnCheckpoint func(UploadToken)
	// OnProgress is called as bytes are sent; never twice at once. It must return quickly.
	OnProgress func(UploadProgress)
}

// String names the upload in a few words, for logs, without a signature.
func (p UploadParams) String() string {
	target := cmp.Or(p.SignedURL, strings.Join([]string{p.Domain, p.Folder, p.Filename}, "/"))
	return fmt.Sprintf("upload to %s (%d bytes)", redact.Text(target), p.Size)
}

// GoString is String, so that %#v prints no signature either.
func (p UploadParams) GoString() string { return p.String() }

// UploadProgress is how far an upload is, in bytes.
type UploadProgress struct {
	Sent      int64 // handed to the network; it falls back when a chunk is sent again
	Confirmed int64 // confirmed by Ittybit
	Total     int64
}

// UploadResult is an upload that Ittybit has confirmed.
type UploadResult struct {
	// URL is where the file was put, without a signature.
	URL string
	// File is nil where Ittybit has confirmed the upload with an empty response, as it is seen
	// to do for signed URLs; and beside an error that says why.
	File *File
}

// UploadToken says which chunks of an upload Ittybit has confirmed, for
// UploadParams.Resume. It holds the address and the size of the file and a checksum of
// each chunk; no key and no signature. The empty one begins anew.
type UploadToken string

// UploadError is why an upload ended early. With its Token as UploadParams.Resume the
// upload goes on where it ended; an empty one means that there is nothing to go on from.
type UploadError struct {
	Token UploadToken
	Err   error
}

func (e *UploadError) Error() string { return e.Err.Error() }

// Unwrap gives what [errors.Is] and [errors.As] look through.
func (e *UploadError) Unwrap() error { return e.Err }

// Upload uploads a file, with one PUT or, above a threshold, in chunks, each of which is
// sent again on its own. Its memory does not grow with the file's size.
//
// What is wrong with params is a [*ParamError], before anything is sent. Any later failure
// is an [*UploadError], which has the token to resume with; a response that is not a success
// is in it as an [*APIError]: [ErrForbidden], for one, where a signature is wrong or has
// expired. A body that ends before its Size is [io.ErrUnexpectedEOF].
//
// A Body that can tell its size is asked again before the upload is completed and after it: where
// it has grown or shrunk meanwhile, the error matches [ErrUploadChanged].
//
// The response that completes the upload decides what comes back. It is documented for whole files
// and resumable uploads, and not for signed URLs.
//
//	it is empty, or describes the file  the result
//	it describes a task                 a result without a file, and an [*AcceptedError]
//	anything else                       a result without a file, and [ErrUploadUnconfirmed]
//
// The error of a task is no UploadError: there is nothing to resume. Of the responses to other
// chunks only the status counts: the last one is what Ittybit checks them all at.
//
// An upload that is refused is refused before it is sent: the first PUT waits for a second for the
// server to agree (Expect: 100-continue), also where a transport given with [WithHTTPClient] has no
// ExpectContinueTimeout. A RoundTripper of another type must do so itself: else a refusal may be
// lost with the connection that is cut meanwhile.
//
// Of the options, [WithResponseInfo] describes the last response.
func (s *FilesService) Upload(ctx context.Context, params UploadParams, opts ...RequestOption) (*UploadResult, error) {
	return uploadFile(ctx, s.client.core, params, opts)
}

// Uploader uploads to signed URLs without an API key, for programs that run where no key
// must be. It is safe for concurrent use.
type Uploader struct{ *core }

// NewUploader makes an Uploader. Of the options, [WithBaseURL] has no effect.
func NewUploader(opts ...ClientOption) (*Uploader, error) {
	core, err := newCore("", opts)
	if err != nil {
		return nil, err
	}
	return &Uploader{core}, nil
}

// Upload is [FilesService.Upload] for params with a SignedURL.
func (u *Uploader) Upload(ctx context.Context, params UploadParams, opts ...RequestOption) (*UploadResult, error) {
	if params.SignedURL == "" {
		return nil, &ParamError{Param: "SignedURL", Reason: "is required where there is no API key"}
	}
	return uploadFile(ctx, u.core, params, opts)
}

// CloseIdleConnections is [Client.CloseIdleConnections].
func (u *Uploader) CloseIdleConnections() { u.pipeline.CloseIdleConnections() }

// expectingClient is client for uploads: one whose transport waits for the response to Expect:
// 100-continue. net/http's does not where its ExpectContinueTimeout is 0.
func expectingClient(client *http.Client) *http.Client {
	transport, ok := client.Transport.(*http.Transport)
	if !ok || transport == nil || transport.ExpectContinueTimeout > 0 {
		return client
	}
	own, copied := *client, transport.Clone()
	copied.ExpectContinueTimeout = time.Second
	own.Transport = copied
	return &own
}

func uploadFile(ctx context.Context, c *core, params UploadParams, opts []RequestOption) (*UploadResult, error) {
	if ctx == nil {
		return nil, &ParamError{Param: "ctx", Reason: "is nil"}
	}
	cfg, err := newRequestConfig(opts)
	if err != nil {
		return nil, err
	}
	if params.Domain == "" && params.SignedURL == "" {
		params.Domain = c.domain
	}
	request, err := params.request(cfg.header, c.insecure)
	if err != nil {
		return nil, err
	}
	result := &UploadResult{URL: upload.PublicURL(request.Target)}
	request.Decode = result.decode
	done, err := upload.Do(ctx, c.pipeline, request)
	if refused, ok := errors.AsType[*upload.InputError](err); ok {
		return nil, &ParamError{Param: refused.Param, Reason: refused.Reason}
	}
	if cfg.info != nil {
		*cfg.info = newResponseInfo(done.Last)
	}
	if !done.Decoded {
		result = nil
	}
	switch {
	case err == nil:
		if result != nil && result.File != nil {
			c.decodeLog.report(ctx, &result.File.decoded)
		}
		return result, nil
	case errors.Is(err, ErrUploadUnconfirmed):
		return result, &UploadError{Token: UploadToken(done.Token), Err: err}
	case errors.Is(err, ErrUploadIncomplete): // going on from here would end the same way
		return result, &UploadError{Err: err}
	case errors.As(err, new(*AcceptedError)):
		return result, err
	default:
		return nil, &UploadError{Token: UploadToken(done.Token), Err: err}
	}
}

// request checks the parameters and fills in their defaults.
func (p UploadParams) request(header http.Header, insecure insecureHosts) (upload.Request, error) {
	var none upload.Request
	for name, value := range map[string]int64{"Size": p.Size, "Threshold": p.Threshold, "ChunkSize": p.ChunkSize, "Concurrency": int64(p.Concurrency)} {
		if value < 0 {
			return none, &ParamError{Param: name, Reason: "must not be negative"}
		}
	}
	if !isHeaderValue(p.ContentType) {
		return none, &ParamError{Param: "ContentType", Reason: "is not a valid header value"}
	}
	target, err := uploadTarget(p, insecure)
	if err != nil {
		return none, err
	}
	if p.ContentType != "" {
		if header == nil {
			header = make(http.Header)
		}
		header.Set("Content-Type", p.ContentType)
	}
	request := upload.Request{
		Target: target, Anonymous: p.SignedURL != "", Header: header, Body: p.Body, Size: p.Size,
		Threshold: cmp.Or(p.Threshold, DefaultUploadThreshold), ChunkSize: cmp.Or(p.ChunkSize, DefaultUploadChunkSize),
		Concurrency: cmp.Or(p.Concurrency, DefaultUploadConcurrency), Resume: string(p.Resume), StatusOf: statusOf,
	}
	if p.OnCheckpoint != nil {
		request.OnToken = func(token string) { p.OnCheckpoint(UploadToken(token)) }
	}
	if p.OnProgress != nil {
		request.OnProgress = func(progress upload.Progress) { p.OnProgress(UploadProgress(progress)) }
	}
	return request, nil
}

func statusOf(err error) int {
	if response, ok := errors.AsType[*APIError](err); ok {
		return response.StatusCode
	}
	return 0
}

func uploadTarget(p UploadParams, insecure insecureHosts) (*url.URL, error) {
	if p.SignedURL != "" {
		if p.Domain != "" || p.Folder != "" || p.Filename != "" {
			return nil, &ParamError{Param: "SignedURL", Reason: "and Domain, Folder, Filename are mutually exclusive"}
		}
		return parseSignedUpload(p.SignedURL, insecure)
	}
	target, err := parseDomain("Domain", p.Domain, insecure)
	if err != nil {
		return nil, err
	}
	if p.Filename == "" || strings.Contains(p.Filename, "/") {
		return nil, &ParamError{Param: "Filename", Reason: "is required, and has no slash: Folder is for that"}
	}
	target.Path = "/" + p.Filename
	if folder := strings.Trim(p.Folder, "/"); folder != "" {
		target.Path = "/" + folder + target.Path
	}
	if path.Clean(target.Path) != target.Path || strings.ContainsFunc(target.Path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, &ParamError{Param: "Folder and Filename", Reason: "must not have an empty segment, . or .., or control characters"}
	}
	return target, nil
}

func parseSignedUpload(text string, insecure insecureHosts) (*url.URL, error) {
	refuse := func(reason string) (*url.URL, error) {
		return nil, &ParamError{Param: "SignedURL", Reason: reason}
	}
	target, err := insecure.parse("SignedURL", text, "one that SignURL makes")
	if err != nil {
		return nil, err
	}
	query := target.Query()
	expiry, expiryErr := strconv.ParseInt(query.Get("expiry"), 10, 64) // one that is not a number is left to Ittybit
	switch {
	case target.User != nil || target.Fragment != "" || strings.Trim(target.Path, "/") == "":
		return refuse("must have a path, and no user or fragment")
	case query.Get("signature") == "":
		return refuse("has no signature")
	case query.Get("method") != "" && !strings.EqualFold(query.Get("method"), string(SignedURLMethodPut)):
		return refuse("is signed for another method than put")
	case errors.Is(expiryErr, strconv.ErrRange), expiry > 0 && jsonx.IsMillis(expiry):
		return refuse("has an expiry that is not a time in unix seconds")
	case expiryErr == nil && !time.Unix(expiry, 0).After(time.Now()):
		return refuse("has expired")
	}
	return target, nil
}

// decode reads the response that completes an upload, which may say nothing, and gives the size
// of the file that it describes.
func (r *UploadResult) decode(resp pipeline.Response) (size int64, err error) {
	if jsonx.IsNull(resp.Body) {
		return 0, nil
	}
	var response objectResponse[File, *File]
	err = response.read(resp.Body)
	switch file := response.object; {
	case file == nil:
		return 0, fmt.Errorf("%w: the response (status %d) describes no file: %w", ErrUploadUnconfirmed, resp.StatusCode, err)
	case file.isTask():
		return 0, file.accepted()
	}
	r.File = response.object
	return r.File.Filesize, nil
}

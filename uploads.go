package ittybit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/internal/pipeline"
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

// maxUploadChunks bounds a token, and what is kept in memory of an upload.
const maxUploadChunks = 100_000

var (
	// ErrUploadIncomplete is matched where Ittybit has not kept all chunks of an upload
	// that it had confirmed, or describes a file of another size; that file comes back, too.
	// Upload the file again without the token. Where the answer to the last chunk was lost,
	// the file may be there all the same.
	ErrUploadIncomplete = errors.New("ittybit: upload incomplete")

	// ErrUploadChanged is matched where the body of an upload that is resumed is not the one
	// it was begun with. Upload the file again without the token.
	ErrUploadChanged = errors.New("ittybit: the body has changed since the upload was begun")

	// ErrUploadUnconfirmed is matched where the answer that completes an upload is a success,
	// and describes no file: something on the way may have answered in Ittybit's place. The
	// result comes back together with it. Look whether the file is there, or go on with the
	// token of the [*UploadError]: of a file in chunks only the last one is sent again.
	ErrUploadUnconfirmed = errors.New("ittybit: upload not confirmed")
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
	// File is nil where Ittybit has confirmed the upload with an empty answer, as it is seen
	// to do for signed URLs; and beside an error that says why.
	File *File
}

// isShort reports whether Ittybit says that the file has another size than was sent, as it
// has where the parts of it were taken for the whole.
func (r *UploadResult) isShort(size int64) bool {
	return r != nil && r.File != nil && r.File.Filesize != 0 && r.File.Filesize != size
}

// UploadError is why an upload ended early. With its Token as UploadParams.Resume the
// upload goes on where it ended; an empty one means that there is nothing to go on from.
type UploadError struct {
	Token UploadToken
	Err   error
}

// Error implements error.
func (e *UploadError) Error() string { return e.Err.Error() }

// Unwrap gives what [errors.Is] and [errors.As] look through.
func (e *UploadError) Unwrap() error { return e.Err }

// Upload uploads a file, with one PUT or, above a threshold, in chunks, each of which is
// tried again on its own. Its memory does not grow with the file's size.
//
// What is wrong with params is a [*ParamError], before anything is sent. Any later failure
// is an [*UploadError], which has the token to resume with; an answer that is not a success
// is in it as an [*APIError]: [ErrForbidden], for one, where a signature is wrong or has
// expired. A body that ends before its Size is [io.ErrUnexpectedEOF].
//
// What Ittybit answers in the end is documented for whole files and resumable uploads, and
// not for signed URLs. So an empty answer is a success. A result without a file comes back
// together with an [*AcceptedError] where the answer is a task that makes the file, and with
// [ErrUploadUnconfirmed] where it is anything else. The error of a task is no UploadError:
// there is nothing to resume. Of the answers to other chunks than the last one
// only the status counts: the last one is what Ittybit checks them all at.
//
// Of the options, [WithResponseInfo] tells of the last request.
func (s *FilesService) Upload(ctx context.Context, params UploadParams, opts ...RequestOption) (*UploadResult, error) {
	return upload(ctx, s.client.core, params, opts)
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
	return upload(ctx, u.core, params, opts)
}

// CloseIdleConnections is [Client.CloseIdleConnections].
func (u *Uploader) CloseIdleConnections() { u.pipeline.CloseIdleConnections() }

// uploading is one upload on its way.
type uploading struct {
	*core
	params UploadParams // with defaults
	target *url.URL
	signed bool
	source *uploadSource
	header http.Header
	parts  *uploadParts

	last   pipeline.Response // the answer that completed it, or to what failed
	result *UploadResult
}

func upload(ctx context.Context, c *core, params UploadParams, opts []RequestOption) (*UploadResult, error) {
	if ctx == nil {
		return nil, &ParamError{Param: "ctx", Reason: "is nil"}
	}
	cfg, err := newRequestConfig(opts)
	if err != nil {
		return nil, err
	}
	u := &uploading{core: c, params: params, header: cfg.header}
	if err := u.prepare(); err != nil {
		return nil, err
	}
	if u.source.at == nil || u.source.size > u.params.Threshold || u.params.Resume != "" {
		err = u.sendChunks(ctx)
	} else {
		err = u.sendWhole(ctx)
	}
	if cfg.info != nil {
		*cfg.info = newResponseInfo(u.last)
	}
	switch {
	case err == nil:
		if u.result != nil && u.result.File != nil {
			c.decodeLog.report(ctx, &u.result.File.decoded)
		}
		return u.result, nil
	case errors.Is(err, ErrUploadUnconfirmed):
		return u.result, &UploadError{Token: u.parts.token(), Err: err}
	case errors.Is(err, ErrUploadIncomplete): // going on from here would end the same way
		return u.result, &UploadError{Err: err}
	case u.result != nil: // a task makes the file
		return u.result, err
	default:
		return nil, &UploadError{Token: u.parts.token(), Err: err}
	}
}

// prepare checks the parameters and fills in their defaults.
func (u *uploading) prepare() error {
	p := &u.params
	for name, value := range map[string]int64{"Size": p.Size, "Threshold": p.Threshold, "ChunkSize": p.ChunkSize, "Concurrency": int64(p.Concurrency)} {
		if value < 0 {
			return &ParamError{Param: name, Reason: "is negative"}
		}
	}
	if !isHeaderValue(p.ContentType) {
		return &ParamError{Param: "ContentType", Reason: "can't stand in a header"}
	}
	p.Threshold = orDefault(p.Threshold, DefaultUploadThreshold)
	p.ChunkSize = orDefault(p.ChunkSize, DefaultUploadChunkSize)
	p.Concurrency = orDefault(p.Concurrency, DefaultUploadConcurrency)
	var err error
	if p.Domain == "" && p.SignedURL == "" {
		p.Domain = u.domain
	}
	if u.target, err = uploadTarget(*p, u.insecure); err != nil {
		return err
	}
	u.signed = p.SignedURL != ""
	if u.source, err = newUploadSource(p.Body, p.Size); err != nil {
		return err
	}
	u.parts, err = newUploadParts(u.place(), u.source.size, *p)
	return err
}

func orDefault[T int | int64](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

// place is where the file will be, without a signature.
func (u *uploading) place() string {
	plain := *u.target
	plain.RawQuery = ""
	return plain.String()
}

// uploadTarget is the URL to PUT to.
func uploadTarget(p UploadParams, insecure insecureHosts) (*url.URL, error) {
	if p.SignedURL != "" {
		if p.Domain != "" || p.Folder != "" || p.Filename != "" {
			return nil, &ParamError{Param: "SignedURL", Reason: "and Domain, Folder, Filename exclude each other"}
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
	path := p.Filename
	if folder := strings.Trim(p.Folder, "/"); folder != "" {
		path = folder + "/" + path
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, &ParamError{Param: "Folder and Filename", Reason: "must not have an empty segment, . or .., or control characters"}
		}
	}
	target.Path = "/" + path
	return target, nil
}

// parseSignedUpload refuses what Ittybit would refuse.
func parseSignedUpload(text string, insecure insecureHosts) (*url.URL, error) {
	refuse := func(reason string) (*url.URL, error) {
		return nil, &ParamError{Param: "SignedURL", Reason: reason}
	}
	target, err := url.Parse(text)
	if err != nil {
		return refuse("can't be parsed")
	}
	if reason := insecure.refuse(target, "one that SignURL makes"); reason != "" {
		return refuse(reason)
	}
	query := target.Query()
	expiry, expiryErr := strconv.ParseInt(query.Get("expiry"), 10, 64) // one that is no number is for Ittybit to judge
	switch {
	case target.User != nil || target.Fragment != "" || strings.Trim(target.Path, "/") == "":
		return refuse("must have a path, and no user or fragment")
	case query.Get("signature") == "":
		return refuse("has no signature")
	case query.Get("method") != "" && !strings.EqualFold(query.Get("method"), string(SignedURLMethodPut)):
		return refuse("is signed for another method than put")
	case errors.Is(expiryErr, strconv.ErrRange), expiry > 0 && jsonx.IsMillis(expiry):
		return refuse("has an expiry that is no time in unix seconds")
	case expiryErr == nil && !time.Unix(expiry, 0).After(time.Now()):
		return refuse("has expired")
	}
	return target, nil
}

// sendWhole sends the file with one PUT.
func (u *uploading) sendWhole(ctx context.Context) error {
	return u.put(ctx, uploadPart{length: u.source.size, body: u.source.section(0, u.source.size), finishes: true, first: true})
}

// uploadPart is what one PUT sends.
type uploadPart struct {
	index    int // of the chunk
	start    int64
	length   int64
	body     io.ReaderAt // of length bytes
	chunk    bool        // it is a part of the file, and says which
	first    bool        // it finds out whether Ittybit takes the upload at all
	finishes bool        // it is the last one, whose answer has the file
}

// put sends a part, and tries again where that helps.
func (u *uploading) put(ctx context.Context, part uploadPart) error {
	body := newPartBody(part, u.parts)
	resp, err := u.pipeline.Do(ctx, u.request(part, body))
	sum, complete := body.close() // nothing reads the source any more
	if part.first && isStatus(err, http.StatusExpectationFailed) {
		body.takeBack()
		part.first = false // "repeat without 100-continue", says RFC 9110 of this answer
		return u.put(ctx, part)
	}
	if part.finishes || err != nil {
		u.parts.mu.Lock()
		u.last = resp
		u.parts.mu.Unlock()
	}
	answered := err == nil || part.finishes && u.result != nil // as a success
	switch {
	case !answered:
		return u.explain(err, part)
	case !complete:
		u.forget(part)
		return fmt.Errorf("ittybit: PUT %s: it was answered %d before it was sent whole", u.place(), resp.StatusCode)
	case part.finishes && part.chunk && resp.StatusCode == http.StatusAccepted:
		return fmt.Errorf("%w: PUT %s: the last chunk was answered 202, as if others were missing", ErrUploadIncomplete, u.place())
	case part.finishes && u.result.isShort(u.source.size):
		return fmt.Errorf("%w: PUT %s: the file has %d bytes in place of %d, says the answer",
			ErrUploadIncomplete, u.place(), u.result.File.Filesize, u.source.size)
	case errors.Is(err, ErrUploadUnconfirmed):
		return err
	case part.finishes:
		u.parts.finish()
	default:
		u.parts.confirm(part.index, sum)
	}
	return err
}

// request is the PUT of a part.
func (u *uploading) request(part uploadPart, body *partBody) pipeline.Request {
	header := u.header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	if u.params.ContentType != "" {
		header.Set("Content-Type", u.params.ContentType)
	}
	if part.chunk {
		// With "=", and not the space of RFC 9110: so the resumable uploads guide has it.
		header.Set("Content-Range", fmt.Sprintf("bytes=%d-%d/%d", part.start, part.start+part.length-1, u.source.size))
	}
	if part.first {
		// What is refused for its signature, its size or its name is refused before it is
		// sent; and without the answer being lost with a connection that is cut meanwhile.
		header.Set("Expect", "100-continue")
	}
	req := pipeline.Request{
		Method: http.MethodPut, URL: u.target, Header: header, Anonymous: u.signed,
		Stream: body.open, ContentLength: part.length, Patient: true,
	}
	if part.finishes {
		req.Decoder = pipeline.DecoderFunc(func(resp pipeline.Response) error { return u.decode(part, resp) })
	}
	return req
}

// isStatus reports whether err is an answer with that status.
func isStatus(err error, code int) bool {
	var answer *APIError
	return errors.As(err, &answer) && answer.StatusCode == code
}

// explain says what an answer means that is not about the chunk it came for.
func (u *uploading) explain(err error, part uploadPart) error {
	if part.chunk && u.parts.confirmed() && (isStatus(err, http.StatusNotFound) || isStatus(err, http.StatusGone)) {
		return fmt.Errorf("%w: %w", ErrUploadIncomplete, err)
	}
	return err
}

// forget takes back a result that can't be true.
func (u *uploading) forget(part uploadPart) {
	if part.finishes {
		u.result = nil
	}
}

// decode reads the answer that completes an upload, which may say nothing.
func (u *uploading) decode(part uploadPart, resp pipeline.Response) error {
	if resp.StatusCode == http.StatusAccepted && part.chunk {
		return nil // it is not complete
	}
	u.result = &UploadResult{URL: u.place()}
	if jsonx.IsNull(resp.Body) {
		return nil
	}
	var answer objectResponse[File, *File]
	err := answer.read(resp.Body)
	switch file := answer.object; {
	case file == nil:
		return fmt.Errorf("%w: the answer (status %d) describes no file: %w", ErrUploadUnconfirmed, resp.StatusCode, err)
	case file.isTask():
		return file.accepted()
	}
	u.result.File = answer.object
	return nil
}

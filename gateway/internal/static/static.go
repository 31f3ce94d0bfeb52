// Package static answers with the static files of deploys.
//
// Package route has decided which file it is; this package sends it as browsers
// and caches want it: with a type, with its digest as the ETag, in parts where
// parts are asked for. Files come from the blob store by their digest, so what
// is kept in memory is never stale, whatever is deployed.
package static

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2" // a bounded cache with the right eviction, so that files cannot fill memory
	"github.com/nightshift/nightshift/gateway/internal/route"
	"github.com/nightshift/nightshift/shared/daemon"
	"github.com/nightshift/nightshift/shared/fault"
)

const (
	// small is the size, in bytes, up to which a file is kept in memory, and
	// cached is how many are: 32 MiB at the most.
	small  = 32 << 10
	cached = 1024
)

// Blobs keeps files by digest; see package artifact.
type Blobs interface {
	GetFile(ctx context.Context, digest string) (io.ReadSeekCloser, error)
}

// Server is safe for concurrent use.
type Server struct {
	blobs Blobs
	pace  daemon.Pace
	cache *lru.Cache[string, []byte]
}

// New makes a server. Who takes a file slower than at the pace is cut off.
func New(blobs Blobs, pace daemon.Pace) *Server {
	cache, err := lru.New[string, []byte](cached)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &Server{blobs: blobs, pace: pace, cache: cache}
}

// Serve answers with a file, or says that there is none. Errors are faults for
// the caller; nothing is written before one.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, file route.File) error {
	h := w.Header()
	h.Set("Age", "0")
	h.Set("Cache-Control", "public, max-age=0, must-revalidate")
	status := cmp.Or(file.Status, http.StatusOK)
	if file.Missing {
		status = cmp.Or(file.Status, http.StatusNotFound)
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead && file.Status == 0:
		h.Set("Allow", "GET, HEAD")
		text(w, http.StatusMethodNotAllowed, "Method Not Allowed")
		return nil
	case file.Path == "":
		text(w, status, strings.TrimSpace(strconv.Itoa(status)+" "+http.StatusText(status)))
		return nil
	}
	content, err := s.open(r.Context(), file)
	if err != nil {
		h.Del("Age")
		return fault.Wrap(err, fault.Unavailable, "The file could not be read. Try again in a moment.").After(time.Second)
	}
	defer content.Close()
	w = &paced{ResponseWriter: w, pace: s.pace, control: http.NewResponseController(w), begun: time.Now()}
	h.Set("Content-Type", contentType(file.Path))
	if status == http.StatusOK {
		// As Netlify's server has it: caches ask each time, and the ETag makes that cheap.
		h.Set("Cache-Control", "public, max-age=0")
		h.Set("Etag", `"`+file.Digest+`"`)
	}
	for _, f := range file.Headers {
		// What is not at this path may be there with the next deploy, however long
		// the file that should be there may be kept.
		if status == http.StatusOK || !strings.HasSuffix(f.Name, "Cache-Control") && f.Name != "Expires" {
			h.Set(f.Name, f.Value)
		}
	}
	if status != http.StatusOK {
		h.Set("Content-Length", strconv.FormatInt(file.Size, 10))
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			// A file that breaks off is shorter than was said, which cuts the connection.
			_, _ = io.Copy(w, content)
		}
		return nil
	}
	http.ServeContent(w, r, file.Path, time.Time{}, content)
	return nil
}

// open opens a file, a small one from memory if it is there.
func (s *Server) open(ctx context.Context, file route.File) (io.ReadSeekCloser, error) {
	if data, ok := s.cache.Get(file.Digest); ok {
		return memory{bytes.NewReader(data)}, nil
	}
	content, err := s.blobs.GetFile(ctx, file.Digest)
	if err != nil || file.Size > small {
		return content, err
	}
	defer content.Close()
	data, err := io.ReadAll(io.LimitReader(content, small+1))
	if err != nil {
		return nil, err
	}
	// What is kept for long is worth a check.
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != file.Digest {
		return nil, fmt.Errorf("the blob of %s is not what its digest says", file.Path)
	}
	s.cache.Add(file.Digest, data)
	return memory{bytes.NewReader(data)}, nil
}

// paced is an answer that must not be taken slower than at its pace.
type paced struct {
	http.ResponseWriter
	pace    daemon.Pace
	control *http.ResponseController
	begun   time.Time
	taken   int64
}

// Write is part of http.ResponseWriter. It gets as much at a time as io.Copy has
// in its buffer, and what the kernel takes of it counts as taken.
func (p *paced) Write(data []byte) (int, error) {
	// Recorders in tests have no deadlines; connections do.
	_ = p.control.SetWriteDeadline(p.pace.Deadline(p.begun, time.Now(), p.taken))
	n, err := p.ResponseWriter.Write(data)
	p.taken += int64(n)
	return n, err
}

// memory is a file in memory.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // nobody is left to tell
}

// types are the content types of the web, whatever the machine has in its own list.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8",
	".css": "text/css; charset=utf-8", ".js": "application/javascript; charset=utf-8", ".mjs": "application/javascript; charset=utf-8",
	".txt": "text/plain; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".csv": "text/csv; charset=utf-8",
	".xml": "application/xml; charset=utf-8", ".rss": "application/rss+xml; charset=utf-8", ".atom": "application/atom+xml; charset=utf-8",
	".json": "application/json; charset=utf-8", ".map": "application/json; charset=utf-8",
	".webmanifest": "application/manifest+json; charset=utf-8",
	".svg":         "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif",
	".webp": "image/webp", ".avif": "image/avif", ".ico": "image/x-icon",
	".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf", ".otf": "font/otf",
	".mp3": "audio/mpeg", ".mp4": "video/mp4", ".webm": "video/webm", ".pdf": "application/pdf", ".wasm": "application/wasm",
	".zip": "application/zip", ".gz": "application/gzip",
}

// contentType is the type of a file, by its name alone: what a file holds must
// not turn a download into a page.
func contentType(name string) string {
	extension := strings.ToLower(path.Ext(name))
	return cmp.Or(types[extension], mime.TypeByExtension(extension), "application/octet-stream")
}

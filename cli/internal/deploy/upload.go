package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/nightshift/nightshift/cli/internal/build"
	"github.com/nightshift/nightshift/cli/internal/build/static"
	"github.com/nightshift/nightshift/shared/fault"
)

// sender sends the artifacts and files of one deploy.
type sender struct {
	client   Client
	deployID string
	sent     func(bytes int64)
}

// function sends the code of a function.
func (s sender) function(ctx context.Context, f build.Function) error {
	return again(ctx, func() error {
		content := s.counted(bytes.NewReader(f.Zip), int64(len(f.Zip)))
		_, err := s.client.UploadFunction(ctx, s.deployID, f.Name, content)
		content.end(err == nil)
		return err
	})
}

// file sends one static file. What is sent must be what was announced, so a
// file that has changed since then ends the deploy.
func (s sender) file(ctx context.Context, f static.File) error {
	return again(ctx, func() error {
		opened, err := os.Open(f.Source)
		if err != nil {
			return changed(err, f)
		}
		defer opened.Close()
		content := s.counted(opened, f.Size)
		_, err = s.client.UploadFile(ctx, s.deployID, f.Path, content)
		if content.end(err == nil) || fault.Is(err, fault.Invalid) || fault.Is(err, fault.TooLarge) { // other bytes than the digest says
			return changed(err, f)
		}
		return err
	})
}

func changed(cause error, f static.File) error {
	return fault.Wrap(cause, fault.Conflict, "%s has changed while it was deployed; deploy again", f.Path)
}

// counted is content on its way. It tells its length, so that the client can
// send it ahead, and ends with an error where the content has another one.
type counted struct {
	content io.Reader
	tell    func(bytes int64)

	mu     sync.Mutex // the client may still read when its answer is there
	left   int64
	passed int64
	other  bool
	ended  bool
}

func (s sender) counted(content io.Reader, size int64) *counted {
	tell := s.sent
	if tell == nil {
		tell = func(int64) {}
	}
	return &counted{content: content, left: size, tell: tell}
}

var (
	errOtherSize = errors.New("the content has another size than before")
	errEnded     = errors.New("the upload has ended")
)

// Len is how many bytes are left.
func (c *counted) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.left)
}

func (c *counted) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return 0, errEnded
	}
	n, err := c.content.Read(p)
	c.left -= int64(n)
	if c.left < 0 || errors.Is(err, io.EOF) && c.left > 0 {
		c.other = true
		return 0, errOtherSize
	}
	c.passed += int64(n)
	c.tell(int64(n))
	return n, err
}

// end ends the reading, takes back what was told if it did not arrive, and
// reports whether the content had another size.
func (c *counted) end(arrived bool) (other bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if !arrived && c.passed > 0 {
		c.tell(-c.passed)
	}
	return c.other
}

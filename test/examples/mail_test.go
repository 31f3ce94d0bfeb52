package examples

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"

	"github.com/ledongthuc/pdf" // reads the text of a PDF, so that not the program that made it says what is in it
)

// letter is a mail as its reader sees it.
type letter struct {
	to, subject, id, text string
	files                 map[string][]byte
}

// letters are the mails that came so far.
func (s *site) letters() []letter {
	s.Helper()
	var all []letter
	for _, m := range s.mail.Mails() {
		l, err := readLetter(m.Data)
		check(s.T, err)
		all = append(all, l)
	}
	return all
}

// lettersTo waits until as many mails came as there are addresses, and compares whom they are for.
func (s *site) lettersTo(addresses ...string) map[string]letter {
	s.Helper()
	eventually(s.T, func() error {
		if got := len(s.mail.Mails()); got < len(addresses) {
			return fmt.Errorf("%d mails came, want %d", got, len(addresses))
		}
		return nil
	})
	found := map[string]letter{}
	for _, l := range s.letters() {
		if _, twice := found[l.to]; twice {
			s.Errorf("%s got two mails", l.to)
		}
		found[l.to] = l
	}
	for _, address := range addresses {
		if _, ok := found[address]; !ok || len(found) != len(addresses) {
			s.Fatalf("mails came for %d addresses, want those of %v; %s: %v", len(found), addresses, address, ok)
		}
	}
	return found
}

func readLetter(data string) (letter, error) {
	m, err := mail.ReadMessage(strings.NewReader(data))
	if err != nil {
		return letter{}, err
	}
	l := letter{to: m.Header.Get("To"), subject: m.Header.Get("Subject"), id: m.Header.Get("Message-ID"), files: map[string][]byte{}}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return l, err
	}
	if kind == "text/plain" {
		text, err := io.ReadAll(m.Body)
		l.text = string(text)
		return l, err
	}
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := parts.NextPart()
		if err == io.EOF {
			return l, nil
		}
		if err != nil {
			return l, err
		}
		var body io.Reader = part
		if part.Header.Get("Content-Transfer-Encoding") == "base64" {
			body = base64.NewDecoder(base64.StdEncoding, part)
		}
		content, err := io.ReadAll(body)
		if err != nil {
			return l, err
		}
		if name := part.FileName(); name != "" {
			l.files[name] = content
		} else {
			l.text = string(content)
		}
	}
}

// pdfText is the text of a PDF, without what separates its words.
func pdfText(t *testing.T, file []byte) string {
	t.Helper()
	r, err := pdf.NewReader(bytes.NewReader(file), int64(len(file)))
	check(t, err)
	plain, err := r.GetPlainText()
	check(t, err)
	text, err := io.ReadAll(plain)
	check(t, err)
	return strings.Join(strings.Fields(string(text)), "")
}

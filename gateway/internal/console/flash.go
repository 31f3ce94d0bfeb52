package console

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// flashCookie carries what a form has done to the page that it leads to. Its name
// begins like that of the session, so that functions do not see it either.
const flashCookie = "nightshift_flash"

// maxFlash bounds the message, in bytes: browsers drop longer cookies.
const maxFlash = 1500

// flash is a message on top of a page: what the form before has done.
type flash struct {
	Problem bool // it was not all as asked for
	Text    string
}

// leadTo ends a form that has changed something: the browser loads the page that
// it leads to, which says so, and loading that again repeats nothing.
func leadTo(w http.ResponseWriter, r *http.Request, where string, problem bool, format string, args ...any) error {
	mark := "+"
	if problem {
		mark = "-"
	}
	text := fmt.Sprintf(format, args...)
	if len(text) > maxFlash {
		text = strings.ToValidUTF8(text[:maxFlash], "") + " …"
	}
	http.SetCookie(w, &http.Cookie{
		Name: flashCookie, Value: base64.RawURLEncoding.EncodeToString([]byte(mark + text)),
		Path: "/", MaxAge: int(time.Minute / time.Second), HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, where, http.StatusSeeOther)
	return nil
}

// takeFlash reads the message and takes it away.
func takeFlash(w http.ResponseWriter, r *http.Request) *flash {
	cookie, err := r.Cookie(flashCookie)
	if err != nil {
		return nil
	}
	http.SetCookie(w, &http.Cookie{Name: flashCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	data, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || len(data) < 2 || len(data) > maxFlash+8 {
		return nil
	}
	return &flash{Problem: data[0] == '-', Text: strings.ToValidUTF8(string(data[1:]), "�")}
}

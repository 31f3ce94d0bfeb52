package harness

import (
	"net/smtp"
	"strings"
	"testing"
)

func TestMailSinkKeepsMail(t *testing.T) {
	t.Parallel()
	sink, err := StartMailSink()
	if err != nil {
		t.Fatal(err)
	}
	if err := smtp.SendMail(sink.Addr(), nil, "b@example.com", []string{"a@example.com"}, []byte("Subject: hi\r\n\r\ntext")); err != nil {
		t.Fatal(err)
	}
	mails := sink.Mails()
	if len(mails) != 1 || mails[0].To[0] != "a@example.com" || !strings.Contains(mails[0].Data, "Subject: hi") {
		t.Errorf("the sink keeps %+v", mails)
	}
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}

func TestGreylistTurnsAwayOnce(t *testing.T) {
	t.Parallel()
	sink, err := StartGreylist()
	if err != nil {
		t.Fatal(err)
	}
	send := func(to string) error {
		return smtp.SendMail(sink.Addr(), nil, "b@example.com", []string{to}, []byte("Subject: hi\r\n\r\ntext"))
	}
	for _, to := range []string{"a@example.com", "c@example.com"} {
		if err := send(to); err == nil || !strings.Contains(err.Error(), "451") {
			t.Errorf("the first mail for %s: %v, want 451", to, err)
		}
		if err := send(to); err != nil {
			t.Errorf("the second mail for %s: %v", to, err)
		}
	}
	if got := len(sink.Mails()); got != 2 {
		t.Errorf("the sink keeps %d mails, want 2", got)
	}
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}

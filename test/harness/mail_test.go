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

package runtimeapi

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix" // netlink's questions about sockets
)

// established is the state of a connection that neither end has closed.
const established = 1 // TCP_ESTABLISHED

// otherEnd finds the socket at the other end of a connection within this machine.
func otherEnd(conn net.Conn) (Socket, error) {
	theirs, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return Socket{}, err
	}
	ours, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return Socket{}, err
	}
	socket, err := ask(theirs, ours)
	if err == nil {
		return socket, nil
	}
	listed, listErr := list(theirs, ours)
	if listErr != nil {
		return Socket{}, errors.Join(err, listErr)
	}
	return listed, nil
}

// Sizes and offsets of struct inet_diag_req_v2 and inet_diag_msg, whose socket's
// ID begins with the two ports in network order.
const (
	questionSize = 56
	answerSize   = 72
	idOffset     = 4
	uidOffset    = 64
	inodeOffset  = 68
)

// ask asks the kernel about one socket, by both of its addresses: that takes a few
// microseconds, however many there are.
func ask(local, remote netip.AddrPort) (Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return Socket{}, fmt.Errorf("asking for a socket: %w", err)
	}
	defer unix.Close(fd)
	question := make([]byte, unix.SizeofNlMsghdr+questionSize)
	header := (*unix.NlMsghdr)(unsafe.Pointer(&question[0]))
	header.Len, header.Type, header.Flags = uint32(len(question)), unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_REQUEST
	body := question[unix.SizeofNlMsghdr:]
	body[0], body[1] = unix.AF_INET, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[4:], 1<<established)
	id := body[8:]
	binary.BigEndian.PutUint16(id[0:], local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	copy(id[4:], local.Addr().AsSlice())
	copy(id[20:], remote.Addr().AsSlice())
	for i := 40; i < 48; i++ {
		id[i] = 0xff // any cookie
	}
	if err := unix.Sendto(fd, question, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return Socket{}, fmt.Errorf("asking for a socket: %w", err)
	}
	answer := make([]byte, 4<<10)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return Socket{}, fmt.Errorf("asking for a socket: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(answer[:n])
	if err != nil || len(messages) == 0 {
		return Socket{}, errors.Join(errors.New("asking for a socket: no answer"), err)
	}
	m := messages[0]
	if m.Header.Type != unix.SOCK_DIAG_BY_FAMILY || len(m.Data) < answerSize {
		return Socket{}, errNoSocket
	}
	// With no connection between the two, the kernel may answer with a listener.
	if m.Data[1] != established || !slices.Equal(m.Data[idOffset:idOffset+4], id[:4]) {
		return Socket{}, errNoSocket
	}
	return found(uint64(binary.NativeEndian.Uint32(m.Data[inodeOffset:])), binary.NativeEndian.Uint32(m.Data[uidOffset:]))
}

var errNoSocket = errors.New("the socket at the other end is closed")

// found refuses a socket that no process has open any more.
func found(inode uint64, uid uint32) (Socket, error) {
	if inode == 0 {
		return Socket{}, errNoSocket
	}
	return Socket{Inode: inode, UID: uid}, nil
}

// list looks into the list of all connections, for kernels that are not asked.
func list(local, remote netip.AddrPort) (Socket, error) {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return Socket{}, err
	}
	defer f.Close()
	want := hexAddr(local) + " " + hexAddr(remote) + " 01"
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || strings.Join(fields[1:4], " ") != want {
			continue
		}
		uid, err := strconv.ParseUint(fields[7], 10, 32)
		if err != nil {
			return Socket{}, err
		}
		inode, err := strconv.ParseUint(fields[9], 10, 64)
		if err != nil {
			return Socket{}, err
		}
		return found(inode, uint32(uid))
	}
	return Socket{}, errors.Join(errNoSocket, lines.Err())
}

// hexAddr writes an address as /proc/net/tcp does: four bytes as a number of the machine's.
func hexAddr(a netip.AddrPort) string {
	ip := a.Addr().As4()
	number := binary.NativeEndian.Uint32(ip[:])
	return strings.ToUpper(hex.EncodeToString(binary.BigEndian.AppendUint32(nil, number))) + fmt.Sprintf(":%04X", a.Port())
}

// stands reports whether neither end has closed a connection.
func stands(conn net.Conn) bool {
	ok := false
	err := control(conn, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		ok = err == nil && info.State == established
	})
	return err == nil && ok
}

// inodeOf is the inode of our own end of a connection.
func inodeOf(conn net.Conn) (inode uint64, err error) {
	var stat unix.Stat_t
	if err := control(conn, func(fd int) { err = unix.Fstat(fd, &stat) }); err != nil {
		return 0, err
	}
	return stat.Ino, err
}

func control(conn net.Conn, do func(fd int)) error {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return errors.New("the connection has no file")
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { do(int(fd)) })
}

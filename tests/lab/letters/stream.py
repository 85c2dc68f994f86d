"""A stream of letters, run with python3 on a host of the lab, to which its text is fed.

    stream.py HOST PORT COUNT PREFIX SENDER AUTHOR RECIPIENT [LOGIN PASSWORD]

Sends COUNT letters over a few connections, a pause after each, as a mail server does that keeps what was
deferred: a letter that is refused for now, or whose connection broke before the last reply, is tried again.
Prints the number of attempts that were put off; exits 0 when every letter was taken.
"""

import smtplib
import ssl
import sys
import threading
import time

host, port, count, prefix, sender, author, recipient, *login = sys.argv[1:]
todo = list(range(int(count)))
lock = threading.Lock()
put_off = [0]
failed = []
PAUSE, THREADS, DEADLINE = 0.05, 3, time.monotonic() + 240


def connect() -> smtplib.SMTP:
    if login:
        # The lab's certificate is nobody's; who we talk to is not what is tested here.
        context = ssl._create_unverified_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, int(port), timeout=30, context=context)
        server.ehlo("laptop.far.example")
        server.login(*login)
        return server
    return smtplib.SMTP(host, int(port), timeout=30)


def work() -> None:
    server = None
    while time.monotonic() < DEADLINE:
        with lock:
            if not todo:
                break
            number = todo.pop(0)
        text = (
            f"From: <{author}>\r\nTo: <{recipient}>\r\nMessage-ID: <{prefix}.{number}@letters.example>\r\n"
            f"Subject: letter {number} of {count}\r\n\r\nLetter {number}.\r\n"
        )
        try:
            server = server or connect()
            server.sendmail(sender, [recipient], text)
        except (OSError, smtplib.SMTPException) as error:
            code = getattr(error, "smtp_code", 0)
            if isinstance(error, smtplib.SMTPRecipientsRefused):
                code = next(iter(error.recipients.values()))[0]
            if code >= 500:
                failed.append(f"{number}: {error}")
            else:
                with lock:
                    todo.append(number)
                    put_off[0] += 1
            if server is not None:
                server.close()
                server = None
            time.sleep(0.5)
        time.sleep(PAUSE)


threads = [threading.Thread(target=work) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"put-off={put_off[0]} left={len(todo)} refused={len(failed)}", *failed[:5])
sys.exit(1 if todo or failed else 0)

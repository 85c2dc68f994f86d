"""The letters and the zone inside ``postvouch try``: a stranger's, signed with a key that was thrown away
since, a spoof of ours, and an answer of ours that is still to be signed.
"""

NOW = 1795435260.0
"""The time of the sample letters, in seconds since 1970; a signature has a date."""

_PUBLIC_KEY = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArUUkJVBMJGBg9kOvKMgNJVLRxYj5XQ7fXFNUkgaeCfK1uMV+"
    "ZD6my7/VQigtGQHYVhg2NIqMnbkKjtjcyBre5oANeKS4GVvQPCcgJhSextTf04O927Hj5MpJwhtoHvV+NQSTURmpJdih"
    "ApE+llSUe/qXLeErEhN+dPgfcI+uqv6Kv/rwnopzr4CibOqPhfCmqtns+jLNVuuBxI2jsTmcoYMdKQ92G/5E6LjwvguC"
    "tXeZkt3F/cjRfUrSCpMx279o0udfurSTCe76P3+tIOu1eJTOZRD3yDk/SDzv0178hls6j0G5qiVN/utEckxX5woazk+U"
    "1f/Y4LRIrd70uFF5CQIDAQAB"
)

ZONE = f"""\
far.example                  TXT  "v=spf1 ip4:192.0.2.7 -all"
s1._domainkey.far.example    TXT  "v=DKIM1; k=rsa; p={_PUBLIC_KEY}"
_dmarc.far.example           TXT  "v=DMARC1; p=reject"
our.example                  TXT  "v=spf1 ip4:203.0.113.25 -all"
_dmarc.our.example           TXT  "v=DMARC1; p=reject"
mx.far.example               A    192.0.2.7
"""

HONEST = b"""\
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=far.example; s=s1; t=1795435200;
 h=from:from:to:to:subject:subject:date:message-id:mime-version:content-type;
 bh=sPV7KsiXlg6Uz1Su/xzKGE64DbzVERtczb1L4B9Qdso=;
 b=M4lAIV/4hAhAJryecMi0LaPo6bGWRNZmiV3ZSxd2ak4/lOKRFIVGYwbM7swz3sixiET3cNZNJS
 mR9euQXnIPmk8uenS7woJuZORVmW6vqXklsdj79ssh31q3++vrSY2Hcf9a8pON9YDjWJ1y3zHu6F
 SvLfA/tHQiKlOXETRNi/xxWc7FCu0mPN1ikp8uZ4brT9QY8LK28I2nIQm0g9EtRN+zMTPz7UpOa0
 f66DSFM2z8jhewUEP5GML1GN1L7Yn6SNSfqQZEf2yWDfnjJQps0oMqiQLO2hdxrcHGBdvBl6LDeW
 q1+KvLh/Iex0CS+74OpBu3gAUCDOhZcRPkuvBiMA==
From: Mara <mara@far.example>
To: grants@our.example
Subject: A question about your grant
Date: Mon, 23 Nov 2026 12:00:00 +0000
Message-ID: <20261123120000.1@far.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii

Dear all,

may a person without an organisation apply?

Mara
"""

SPOOF = b"""\
Authentication-Results: mx.our.example; dmarc=pass header.from=our.example
From: Bob <bob@our.example>
To: grants@our.example
Subject: Please pay this today
Date: Mon, 23 Nov 2026 12:00:30 +0000
Message-ID: <20261123120030.1@bulk.example>

The account has changed. Bob
"""

OURS = b"""\
From: Bob <bob@our.example>
To: mara@far.example
Subject: Re: A question about your grant
Date: Mon, 23 Nov 2026 12:30:00 +0000
Message-ID: <20261123123000.1@our.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii

Dear Mara,

yes, you may.

Bob
"""

"""Serves Google Cloud Storage on a free port, prints the port, and ends when standard input does: with the test that started it.

gcp-storage-emulator serves Google's JSON API, and of the XML API only downloads and uploads, without conditions. Without an
argument this adds the parts of the XML API that object_store uses, over the same objects, from Google's reference
(https://cloud.google.com/storage/docs/xml-api/overview): conditions by generation, versions, listings, multipart uploads.

A bucket named `careless-…` ignores every condition; one named `forgetful-…` keeps only the one that there is no object.
`gcs.py bare` serves the emulator as it is.
"""

import email.utils
import hashlib
import http.server
import logging
import sys
import threading
import urllib.parse
import uuid
from datetime import datetime
from functools import partial
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers.objects import _checksums, _make_object_resource
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

# The first parts of the paths that belong to the JSON API.
JSON_API = ("storage", "upload", "download", "batch", "b", "wipe", "")
LISTED_AT_ONCE = 1000
LOCK = threading.Lock()
# The contents of all generations: bucket, name, generation.
VERSIONS = {}
# The parts of unfinished uploads: upload, number.
UPLOADS = {}


class XmlHandler(RequestHandler):
    """Requests of the XML API; all others go to the emulator."""

    protocol_version = "HTTP/1.1"

    def xml(self):
        """The bucket, the name and the query of a request of the XML API; `None` for another."""
        parts = urllib.parse.urlsplit(self.path)
        bucket, _, name = parts.path.lstrip("/").partition("/")
        if bucket in JSON_API:
            return None
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        return urllib.parse.unquote(bucket), urllib.parse.unquote(name), query

    def reply(self, status, body=b"", head=False, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def refuse(self, status, code, head=False):
        self.reply(status, f"<Error><Code>{code}</Code></Error>".encode(), head, Content_Type="application/xml")

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def current(self, bucket, name):
        try:
            return self.storage.get_file_obj(bucket, name)
        except NotFound:
            return None

    def holds(self, bucket, name):
        """Whether the condition of a put holds."""
        wanted = self.headers.get("x-goog-if-generation-match")
        if wanted is None or bucket.startswith("careless-") or (bucket.startswith("forgetful-") and wanted != "0"):
            return True
        current = self.current(bucket, name)
        return wanted == (current["generation"] if current else "0")

    def create(self, bucket, name, content, tag=None):
        """Make the object, and return the headers that describe it; `None` where the condition does not hold."""
        with LOCK:
            if not self.holds(bucket, name):
                return None
            found = _make_object_resource("", bucket, name, "application/octet-stream", str(len(content)))
            found = _checksums(content, found)
            found["etag"] = tag or hashlib.md5(content).hexdigest()
            self.storage.create_file(bucket, name, content, found)
            VERSIONS[bucket, name, found["generation"]] = (found, content)
        return described(found)

    def do_PUT(self):
        request = self.xml()
        if not request:
            return super().do_PUT()
        bucket, name, query = request
        content = self.body()
        if "uploadId" in query:
            UPLOADS[query["uploadId"]][int(query["partNumber"])] = content
            return self.reply(200, ETag=f'"{hashlib.md5(content).hexdigest()}"')
        try:
            headers = self.create(bucket, name, content)
        except NotFound:
            return self.refuse(404, "NoSuchBucket")
        return self.reply(200, **headers) if headers else self.refuse(412, "PreconditionFailed")

    def do_POST(self):
        request = self.xml()
        if not request:
            return super().do_POST()
        bucket, name, query = request
        body = self.body()
        if "uploads" in query:
            upload = uuid.uuid4().hex
            UPLOADS[upload] = {}
            return self.answer("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
        parts = UPLOADS.pop(query["uploadId"])
        numbers = [int(part.findtext("PartNumber")) for part in ElementTree.fromstring(body)]
        content = b"".join(parts[number] for number in numbers)
        # Google derives the ETag of a composed object from its generation.
        headers = self.create(bucket, name, content, uuid.uuid4().hex)
        return self.answer("CompleteMultipartUploadResult", f"<ETag>{headers['ETag']}</ETag>", **headers)

    def do_DELETE(self):
        request = self.xml()
        if not request:
            return super().do_DELETE()
        bucket, name, query = request
        if "uploadId" in query:
            UPLOADS.pop(query["uploadId"], None)
            return self.reply(204)
        with LOCK:
            try:
                self.storage.delete_file(bucket, name)
            except NotFound:
                return self.refuse(404, "NoSuchKey")
        return self.reply(204)

    def do_HEAD(self):
        self.do_GET(head=True)

    def do_GET(self, head=False):
        request = self.xml()
        if not request:
            return super().do_GET()
        bucket, name, query = request
        if not name:
            return self.answer("ListUploads", "") if "uploads" in query else self.listing(bucket, query)
        with LOCK:
            current = self.current(bucket, name)
            generation = query.get("generation", current and current["generation"])
            found = VERSIONS.get((bucket, name, generation))
            if found is None and current and "generation" not in query:
                # An object that came by the JSON API.
                found = (current, self.storage.get_file(bucket, name))
        if found is None:
            return self.refuse(404, "NoSuchKey", head)
        headers, content, status = described(found[0]), found[1], 200
        ranged = self.headers.get("Range", "").removeprefix("bytes=")
        if ranged:
            first, _, last = ranged.partition("-")
            start = int(first) if first else max(len(content) - int(last), 0)
            end = min(int(last), len(content) - 1) if first and last else len(content) - 1
            headers["Content_Range"] = f"bytes {start}-{end}/{len(content)}"
            content, status = content[start : end + 1], 206
        return self.reply(status, content, head, Content_Length=str(len(content)), Accept_Ranges="bytes", **headers)

    def listing(self, bucket, query):
        prefix, after = query.get("prefix", ""), query.get("continuation-token", query.get("start-after", ""))
        delimiter = query.get("delimiter")
        shown = urllib.parse.quote if query.get("encoding-type") == "url" else str
        with LOCK:
            if self.storage.get_bucket(bucket) is None:
                return self.refuse(404, "NoSuchBucket")
            found = dict(self.storage.objects.get(bucket, {}))
        entries, last, truncated = {}, "", False
        for name in sorted(found):
            if not name.startswith(prefix) or name <= after:
                continue
            if len(entries) == min(int(query.get("max-keys", LISTED_AT_ONCE)), LISTED_AT_ONCE):
                truncated = True
                break
            last, rest = name, name[len(prefix) :]
            if delimiter and delimiter in rest:
                folder = prefix + rest.split(delimiter)[0] + delimiter
                entries[folder] = f"<CommonPrefixes><Prefix>{escape(shown(folder))}</Prefix></CommonPrefixes>"
                continue
            it = found[name]
            entries[name] = (
                f"<Contents><Key>{escape(shown(name))}</Key><Size>{it['size']}</Size><ETag>\"{it['etag']}\"</ETag>"
                f"<LastModified>{it['updated'][:23]}Z</LastModified></Contents>"
            )
        more = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if truncated else ""
        self.answer("ListBucketResult", f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{more}" + "".join(entries.values()))

    def answer(self, element, inner, **headers):
        self.reply(200, f"<{element}>{inner}</{element}>".encode(), Content_Type="application/xml", **headers)


def described(found):
    changed = datetime.fromisoformat(found["updated"].replace("Z", "+00:00"))
    return {
        "ETag": f'"{found["etag"]}"',
        "x_goog_generation": found["generation"],
        "Last_Modified": email.utils.format_datetime(changed, usegmt=True),
    }


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    logging.disable(logging.CRITICAL)
    storage = Storage(use_memory_fs=True)
    handler = RequestHandler if sys.argv[1:] == ["bare"] else XmlHandler
    server = Server(("127.0.0.1", 0), partial(handler, storage))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


main()

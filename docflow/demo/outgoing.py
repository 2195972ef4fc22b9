"""The way of a draft out of the office."""

from dataclasses import dataclass

from docflow.demo import letters
from docflow.demo.incoming import CHAIRMAN, DEPUTY, HEADS, OTHER_DEPUTY
from docflow.demo.scene import Scene

PAPER = {"name": "Bà Nguyễn Thị Tư, thôn Đoài", "channel": "paper"}


@dataclass
class Outgoing:
    scene: Scene
    draft: letters.Draft
    number: int
    id: str = ""

    @property
    def fate(self) -> str:
        return self.draft.fate

    @property
    def drafter(self) -> str:
        return list(HEADS)[self.number % len(HEADS)]

    @property
    def foot(self) -> letters.Signer:
        """Whose name stands below the draft: whoever is going to sign it."""
        if self.fate in ("refuse", "late"):
            return letters.CHAIRMAN
        first = self.fate == "deputy" or self.number % 2 == 0
        return letters.DEPUTY if first else letters.OTHER_DEPUTY

    def put_up(self) -> None:
        chosen = self.scene.chance.sample(letters.EVERYBODY, 1 + self.number % 3)
        recipients = [{"name": s.name, "address": s.address, "channel": "email"} for s in chosen]
        metadata = {
            "direction": "outgoing",
            "subject": self.draft.subject,
            "document_type": self.draft.kind,
            "urgency": self.draft.urgency,
            "recipients": [*recipients, *([PAPER] if self.fate == "paper" else [])],
        }
        names = tuple(s.name for s in chosen)
        pdf = letters.draft_pdf(self.draft, names, self.foot, self.scene.now, self.scene.chance)
        self.id = self.scene.office(self.drafter).create(metadata, "du-thao.pdf", pdf)["id"]

    def submit(self) -> None:
        self.scene.office(self.drafter).act(self.id, "submit", proposal="Trình duyệt dự thảo.")

    def check(self) -> None:
        head = self.scene.office(HEADS[self.drafter])
        if self.fate == "reject_by_head":
            head.act(self.id, "reject", reason="Nội dung trùng với báo cáo đã ban hành.")
            self.scene.tell(f"rejected by the unit head: {self.draft.subject}")
        elif self.fate == "changes":
            head.act(self.id, "request_changes", reason="Bổ sung phân công nhiệm vụ cho các xã.")
            self.scene.tell(f"changes requested: {self.draft.subject}")
        else:
            head.act(self.id, "approve")

    def come_back(self) -> None:
        """A new version after changes were requested or the signature was refused; the head agrees."""
        remark = "Bản này đã được bổ sung theo ý kiến của lãnh đạo."
        pdf = letters.draft_pdf(self.draft, (), self.foot, self.scene.now, self.scene.chance, remark)
        desk = self.scene.office(self.drafter)
        desk.upload(self.id, "main", "du-thao-2.pdf", pdf)
        desk.act(self.id, "submit", proposal="Đã chỉnh sửa.")
        self.scene.office(HEADS[self.drafter]).act(self.id, "approve")

    def check_form(self) -> None:
        self.scene.office("vanthu2").act(self.id, "approve")

    def sign(self) -> None:
        if self.fate == "reject_by_leader":
            self.scene.office(OTHER_DEPUTY).act(self.id, "reject", reason="Chưa đủ căn cứ pháp lý.")
            self.scene.tell(f"rejected by the leader: {self.draft.subject}")
        elif self.fate == "refuse":
            self.scene.office(OTHER_DEPUTY).act(self.id, "refuse", reason="Làm rõ thời hạn trả lời.")
            self.scene.tell(f"signature refused, back to its drafter: {self.draft.subject}")
        elif self.fate == "deputy":
            self.scene.office(DEPUTY).act(self.id, "sign", acting_for=CHAIRMAN, capacity="KT.")
            self.scene.tell(f"the deputy signs for the chairman: {self.draft.subject}")
        else:
            self.scene.office((DEPUTY, OTHER_DEPUTY)[self.number % 2]).act(self.id, "sign", capacity="KT.")

    def sign_as_chairman(self) -> None:
        self.scene.office(CHAIRMAN).act(self.id, "sign", capacity="TM.")

    def take_number(self) -> None:
        self.scene.office("vanthu1").act(self.id, "register")

    def send_by_hand(self) -> None:
        """What has a recipient on paper is sent, and taken to the post, by the clerk."""
        clerk = self.scene.office("vanthu1")
        clerk.act(self.id, "dispatch")
        for delivery in clerk.get(f"/documents/{self.id}/deliveries")["items"]:
            if delivery["channel"] == "paper":
                waybill = f"EA{self.scene.chance.randrange(10**8, 10**9)}VN"
                path = f"/documents/{self.id}/deliveries/{delivery['id']}/post"
                clerk.post(path, postal_number=waybill, carrier="Bưu điện huyện")

    def recall(self) -> None:
        self.scene.office(self.drafter).act(self.id, "recall", reason="Sai lịch tiếp dân, sẽ ban hành bản thay thế.")
        self.scene.tell(f"recalled after it was sent: {self.draft.subject}")

"""What the office does with a letter that came in."""

from dataclasses import dataclass
from datetime import timedelta

from docflow.demo import letters
from docflow.demo.office import Json
from docflow.demo.scene import Scene
from docflow.domain.errors import IntegrityFailure

HEADS = {
    "ngansach2": "ngansach1",
    "datdai2": "datdai1",
    "tonghop1": "totruongth",
    "noivu1": "truongnv",
    "photckh": "truongtckh",
}
"""Who handles and drafts, and who checks it."""

BY_RULE = {
    "late_flash": "phovp",
    "forward": "truongtnmt",
    "report": "chanhvp",
    "hold": "chanhvp",
    "consult": "photckh",
    "handle": "truongtckh",
}
"""Who takes up what a mail rule gave to a unit."""

CLERKS = ("vanthu1", "vanthu2")
CHAIRMAN, DEPUTY, OTHER_DEPUTY = "chutich", "phochutich1", "phochutich2"


@dataclass
class Incoming:
    scene: Scene
    letter: letters.Letter
    number: int
    symbol: str
    id: str = ""
    raw: bytes = b""
    main: str = ""

    @property
    def fate(self) -> str:
        return self.letter.fate

    def arrive(self) -> None:
        scene = self.scene
        sent = scene.now - timedelta(minutes=5)
        pdf = letters.incoming_pdf(self.letter, self.symbol, sent, scene.chance)
        self.raw = letters.mail(self.letter, pdf, self.symbol, sent, f"{sent:%Y%m%d}-{self.number}")
        answer = scene.office("tichhop").deliver_mail(self.raw)
        if answer["state"] != "document":
            raise IntegrityFailure(f"The mail '{self.letter.subject}' was taken in as '{answer['state']}'.")
        self.id = answer["document_id"]

    def arrive_again(self) -> None:
        """The same mail once more makes no second document."""
        answer = self.scene.office("tichhop").deliver_mail(self.raw)
        if (answer["state"], answer["document_id"]) != ("duplicate", self.id):
            raise IntegrityFailure(f"The repeated mail '{self.letter.subject}' was not recognised: {answer}.")
        self.scene.tell(f"a mail came twice and is one document: {self.letter.subject}")

    def register(self) -> None:
        """By a clerk, who reads number and date from the letter; trusted senders' letters are registered already."""
        if self._state() != "register":
            return
        clerk = self.scene.office(CLERKS[self.number % len(CLERKS)])
        if self.fate == "return":
            clerk.act(self.id, "return", reason="Văn bản gửi nhầm cơ quan, đề nghị gửi Chi cục Thú y tỉnh.")
            self.scene.tell(f"returned to its sender: {self.letter.subject}")
            return
        day = self.scene.now.astimezone(letters.ZONE).date().isoformat()
        clerk.mend(self.id, number_symbol=self.symbol, document_date=day)
        clerk.act(self.id, "register")

    def assign(self) -> None:
        """By a leader, where no rule has named the handlers."""
        if self._state() != "assign":
            return
        leader = self.scene.office(OTHER_DEPUTY)
        if self.fate == "inform":
            readers = [{"role": "information", "user": u} for u in ("chanhvp", "tonghop1")]
            leader.act(self.id, "assign", handlers=readers, directive="Để biết")
            return
        self.main = "noivu1" if self.fate in ("deputy", "extend") else list(HEADS)[self.number % 4]
        co = "phovp" if self.main != "tonghop1" else "photckh"
        handlers = [{"role": "main", "user": self.main}, {"role": "co", "user": co}]
        directive: Json = {"handlers": handlers, "directive": "Chủ trì tham mưu, báo cáo kết quả."}
        if self.fate == "deputy":
            deputy = self.scene.office(DEPUTY)
            deputy.act(self.id, "assign", acting_for=CHAIRMAN, **directive)
            self.scene.tell(f"the deputy assigns for the chairman: {self.letter.subject}")
            return
        deadline = "2 working hours" if self.fate == "late_named" else "5 working days"
        leader.act(self.id, "assign", **directive, deadline=deadline, answer_required=self.fate == "answer")

    def handle(self) -> None:
        """The main handler's part, and that of those who work along."""
        if self._state() != "review":
            return
        work = {
            "answer": self._answer,
            "forward": self._forward,
            "report": self._report,
            "consult": self._consult,
            "hold": self._hold,
            "extend": self._extend,
            "handle": self._submit,
            "deputy": self._submit,
        }.get(self.fate)
        if work is not None:
            work()

    def _answer(self) -> None:
        now = self.scene.now
        pdf = letters.answer_pdf(self.letter.subject, self.letter.sender.name, now)
        desk = self.scene.office(self.main)
        desk.act(self.id, "comment", text="Đã liên hệ với cơ quan gửi để làm rõ nội dung.")
        desk.upload(self.id, "answer", "tra-loi.pdf", pdf)
        desk.act(self.id, "submit", proposal="Trình dự thảo văn bản trả lời.")

    def _forward(self) -> None:
        head = self.scene.office(BY_RULE[self.fate])
        head.act(self.id, "claim")
        head.act(self.id, "forward", user="datdai2", note="Đồng chí Nghĩa xử lý.")
        self.scene.office("datdai2").act(self.id, "submit", proposal="Hồ sơ đủ điều kiện, đề nghị lưu.")

    def _report(self) -> None:
        head = self.scene.office(BY_RULE[self.fate])
        head.act(self.id, "forward", user="tonghop1", note="Tổng hợp, báo cáo đúng hạn.")
        self.scene.office("tonghop1").act(self.id, "submit", proposal="Đã tổng hợp số liệu.")

    def _consult(self) -> None:
        desk = self.scene.office(BY_RULE[self.fate])
        desk.act(self.id, "claim")
        desk.act(self.id, "consult", users=["noivu1"], question="Có vướng mắc về biên chế quản lý không?")
        self.scene.office("noivu1").act(self.id, "opinion", opinion="agree", text="Không vướng mắc.")
        self.scene.office("phovp").act(self.id, "opinion", opinion="other", text="Đề nghị làm rõ nguồn vốn.")
        desk.act(self.id, "submit", proposal="Đề xuất hỗ trợ một phần kinh phí.")

    def _hold(self) -> None:
        self.scene.office(BY_RULE[self.fate]).act(self.id, "hold", reason="Chờ kết quả khảo sát hiện trạng.")

    def resume(self) -> None:
        head = self.scene.office(BY_RULE[self.fate])
        head.act(self.id, "resume")
        head.act(self.id, "submit", proposal="Khảo sát xong, đồng ý chủ trương.")

    def _extend(self) -> None:
        wish = {"deadline": "8 working days", "reason": "Cần ý kiến của các đơn vị trực thuộc."}
        self.scene.office(self.main).act(self.id, "extend", **wish)
        self.scene.office(OTHER_DEPUTY).act(self.id, "extend", **wish)

    def _submit(self) -> None:
        who = self.main or BY_RULE[self.fate]
        self.scene.office(who).act(self.id, "submit", proposal="Đã xử lý, đề nghị kết thúc.")

    def finish_late(self) -> None:
        self._submit()
        self.scene.tell(f"done, but late: {self.letter.subject}")

    def approve_answer(self) -> None:
        self.scene.office(HEADS[self.main]).act(self.id, "approve")

    def sign_answer(self) -> None:
        self.scene.office(CHAIRMAN).act(self.id, "sign")

    def urge(self) -> None:
        self.scene.office("thanhtra1").act(
            self.id, "urge", grade="criticism", text="Công điện hỏa tốc chưa được xử lý."
        )
        self.scene.tell(f"the inspector urges: {self.letter.subject}")

    def _state(self) -> str:
        state: str = self.scene.office("vanthu1").document(self.id)["state"]
        return state

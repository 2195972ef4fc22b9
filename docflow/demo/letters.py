"""What is written to and by the made-up district: senders, subjects, letters as PDF, mails around them."""

import random
import tempfile
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, formataddr
from itertools import cycle, islice
from pathlib import Path
from threading import Lock
from zoneinfo import ZoneInfo

from docflow.adapters.pdf_pages import official_letter

ONE_AT_A_TIME = Lock()
"""Reportlab fills its tables at their first use, where another thread finds them half full."""
ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
POST_BOX = "vanthu@binhminh.example"
MAIL_SERVER = "mx.binhminh.example"
DISTRICT = "Ủy ban nhân dân huyện Bình Minh"


@dataclass(frozen=True, slots=True)
class Sender:
    name: str
    address: str
    symbol: str
    place: str
    title: str
    person: str


PROVINCE = Sender("UBND tỉnh", "vanphong@ubnd.tinh.example", "UBND-VX", "Hà Đông", "CHỦ TỊCH", "Nguyễn Đức Thịnh")
FINANCE = Sender("Sở Tài chính", "vanthu@stc.tinh.example", "STC-NS", "Hà Đông", "GIÁM ĐỐC", "Lê Thị Kim Dung")
INTERIOR = Sender("Sở Nội vụ", "vanthu@snv.tinh.example", "SNV-TCBC", "Hà Đông", "GIÁM ĐỐC", "Phạm Xuân Bách")
LAND = Sender(
    "Sở Tài nguyên và Môi trường", "vanthu@stnmt.tinh.example", "STNMT-QLĐĐ", "Hà Đông", "GIÁM ĐỐC", "Đào Quốc Việt"
)
BUILDING = Sender("Sở Xây dựng", "vanthu@sxd.tinh.example", "SXD-QH", "Hà Đông", "PHÓ GIÁM ĐỐC", "Tô Thị Hằng")
HEALTH = Sender("Sở Y tế", "vanthu@syt.tinh.example", "SYT-NVY", "Hà Đông", "GIÁM ĐỐC", "Trần Vũ Hải")
AN_PHU = Sender("UBND xã An Phú", "vanthu@anphu.binhminh.example", "UBND", "An Phú", "CHỦ TỊCH", "Nguyễn Hữu Lộc")
HOA_BINH = Sender(
    "UBND xã Hòa Bình", "vanthu@hoabinh.binhminh.example", "UBND", "Hòa Bình", "CHỦ TỊCH", "Trương Đình Long"
)
COMPANY = Sender(
    "Công ty TNHH Xây dựng Sông Xanh", "lienhe@songxanh.example", "CV-SX", "Bình Minh", "GIÁM ĐỐC", "Hà Quang Vinh"
)
COOPERATIVE = Sender(
    "Hợp tác xã Nông nghiệp Đồng Tiến", "htx@dongtien.example", "CV-HTX", "Bình Minh", "CHỦ NHIỆM", "Vũ Văn Kiên"
)
WOMEN = Sender("Hội Liên hiệp Phụ nữ huyện", "phunu@doanthe.example", "CV-PN", "Bình Minh", "CHỦ TỊCH", "Đoàn Thị Hạnh")
EVERYBODY = (PROVINCE, FINANCE, INTERIOR, LAND, BUILDING, HEALTH, AN_PHU, HOA_BINH, COMPANY, COOPERATIVE, WOMEN)


@dataclass(frozen=True, slots=True)
class Signer:
    """The foot of a letter of the district's."""

    title: str
    name: str


CHAIRMAN = Signer("TM. ỦY BAN NHÂN DÂN\nCHỦ TỊCH", "Nguyễn Văn Hùng")
DEPUTY = Signer("KT. CHỦ TỊCH\nPHÓ CHỦ TỊCH", "Trần Thị Thu Hà")
OTHER_DEPUTY = Signer("KT. CHỦ TỊCH\nPHÓ CHỦ TỊCH", "Lê Quang Minh")
NUMBER_GAP, DATE_GAP = " " * 8, " " * 7


@dataclass(frozen=True, slots=True)
class Letter:
    """One incoming mail of the day. ``fate`` is what the office will make of it (``docflow.demo.day``)."""

    sender: Sender
    subject: str
    fate: str
    urgency: str = ""


NEEDED = (
    Letter(PROVINCE, "Công điện khẩn về ứng phó áp thấp nhiệt đới và mưa lớn diện rộng", "late_flash", "Hỏa tốc"),
    Letter(BUILDING, "Rà soát quy hoạch chi tiết khu trung tâm thị trấn", "late_named"),
    Letter(COMPANY, "Đề nghị thỏa thuận vị trí đấu nối hạ tầng kỹ thuật", "answer"),
    Letter(COOPERATIVE, "Kiến nghị gửi Chi cục Thú y tỉnh về kiểm dịch đàn gia súc", "return"),
    Letter(HEALTH, "Thượng khẩn: tăng cường phòng, chống dịch sốt xuất huyết", "deputy", "Thượng khẩn"),
    Letter(INTERIOR, "Giấy mời họp triển khai công tác cải cách hành chính", "by_itself"),
    Letter(COMPANY, "Hồ sơ đề nghị cấp giấy chứng nhận quyền sử dụng đất tại thôn Đoài", "forward"),
    Letter(FINANCE, "Đề nghị báo cáo tiến độ giải ngân vốn đầu tư công", "report"),
    Letter(AN_PHU, "Báo cáo kết quả thu gom rác thải sinh hoạt tháng này", "by_itself"),
    Letter(WOMEN, "Gửi để biết: kế hoạch tổ chức hội thi nấu ăn", "inform"),
    Letter(COOPERATIVE, "Xin hỗ trợ kinh phí từ ngân sách huyện cho kênh mương nội đồng", "consult"),
    Letter(HOA_BINH, "Tờ trình xin chủ trương sửa chữa trường mầm non", "hold"),
    Letter(INTERIOR, "Hướng dẫn đánh giá, xếp loại công chức", "extend"),
)
"""One of each fate: what every demo shows, however small."""

MORE = (
    Letter(LAND, "Góp ý dự thảo kế hoạch bảo vệ nguồn nước sông Đáy", "answer"),
    Letter(PROVINCE, "Giấy mời dự hội nghị sơ kết công tác quý", "by_itself"),
    Letter(COMPANY, "Đề nghị xác nhận hoàn thành nghĩa vụ môi trường", "forward"),
    Letter(AN_PHU, "Tờ trình về bổ sung biên chế công chức tư pháp", "report"),
    Letter(HEALTH, "Phối hợp tổ chức tiêm chủng mở rộng", "handle"),
    Letter(HOA_BINH, "Báo cáo tình hình an ninh trật tự", "by_itself"),
    Letter(FINANCE, "Thẩm định quyết toán dự án trụ sở xã An Phú", "handle"),
    Letter(BUILDING, "Trả lời về chỉ giới đường đỏ tuyến đường tỉnh 427", "handle"),
    Letter(COOPERATIVE, "Đề nghị giới thiệu gian hàng nông sản", "answer"),
    Letter(WOMEN, "Thông báo nghỉ sinh hoạt chi hội", "inform"),
    Letter(PROVINCE, "Đề nghị báo cáo công tác tiếp công dân", "report"),
    Letter(COMPANY, "Xin gia hạn tiến độ giải phóng mặt bằng khu dân cư số 3", "open"),
    Letter(INTERIOR, "Cử công chức tham gia lớp bồi dưỡng chuyển đổi số", "handle"),
    Letter(LAND, "Kiểm tra việc sử dụng đất công ích", "open"),
)


@dataclass(frozen=True, slots=True)
class Draft:
    """One outgoing document of the day; ``fate`` as for letters."""

    kind: str
    code: str
    subject: str
    fate: str
    urgency: str = "ordinary"


DRAFTS = (
    Draft("thong_bao", "TB-UBND", "Lịch tiếp công dân của Chủ tịch UBND huyện", "recall"),
    Draft("bao_cao", "BC-UBND", "Tình hình phát triển kinh tế - xã hội tháng này", "reject_by_head"),
    Draft("quyet_dinh", "QĐ-UBND", "Điều chỉnh dự toán chi thường xuyên", "reject_by_leader"),
    Draft("ke_hoach", "KH-UBND", "Phòng, chống thiên tai và tìm kiếm cứu nạn", "changes"),
    Draft("cong_van", "UBND-VP", "Trả lời kiến nghị cử tri xã Hòa Bình", "refuse"),
    Draft("thong_bao", "TB-UBND", "Kết luận cuộc họp giao ban của Ủy ban nhân dân huyện", "deputy"),
    Draft("cong_van", "UBND-VP", "Hỏa tốc: sơ tán dân vùng ngập thôn Hạ", "late", "flash"),
    Draft("quyet_dinh", "QĐ-UBND", "Thành lập tổ công tác cải cách hành chính", "paper"),
    Draft("to_trinh", "TTr-UBND", "Đề nghị bổ sung vốn sửa chữa đê bao", "at_signer"),
    Draft("bao_cao", "BC-UBND", "Kết quả giải ngân vốn đầu tư công", "at_head"),
    Draft("ke_hoach", "KH-UBND", "Tổ chức Tết trồng cây", "send"),
    Draft("cong_van", "UBND-VP", "Đôn đốc nộp báo cáo chuyên đề", "send"),
    Draft("giay_moi", "GM-UBND", "Họp Ban Chỉ đạo phòng, chống dịch", "send"),
    Draft("huong_dan", "HD-UBND", "Thực hiện số hóa hồ sơ, tài liệu lưu trữ", "send"),
    Draft("quyet_dinh", "QĐ-UBND", "Khen thưởng tập thể, cá nhân có thành tích", "send"),
)


def letters(count: int) -> list[Letter]:
    """``count`` letters, among them one of each fate."""
    return [*NEEDED, *islice(cycle(MORE), max(0, count - len(NEEDED)))][:count]


def drafts(count: int) -> list[Draft]:
    """``count`` drafts; those beyond the named ones are simply sent."""
    plain = [draft for draft in DRAFTS if draft.fate == "send"]
    return [*DRAFTS, *islice(cycle(plain), max(0, count - len(DRAFTS)))][:count]


def day_in_words(day: datetime) -> str:
    local = day.astimezone(ZONE)
    return f"ngày {local:%d} tháng {local:%m} năm {local:%Y}"


def incoming_pdf(letter: Letter, symbol: str, day: datetime, chance: random.Random) -> bytes:
    sender = letter.sender
    body = (
        f"Căn cứ chức năng, nhiệm vụ được giao, {sender.name} gửi tới {DISTRICT} nội dung: {letter.subject}.",
        chance.choice(_BODIES),
        chance.choice(_BODIES),
        "Trân trọng cảm ơn sự quan tâm, phối hợp của quý cơ quan./.",
    )
    return _pdf(
        issuer=sender.name,
        symbol_number=symbol,
        place_and_date=f"{sender.place}, {day_in_words(day)}",
        subject=letter.subject,
        body_paragraphs=body,
        signer_title=sender.title,
        signer_name=sender.person,
        recipients=(DISTRICT,),
        urgency=letter.urgency,
    )


def draft_pdf(
    draft: Draft, to: tuple[str, ...], signer: Signer, day: datetime, chance: random.Random, remark: str = ""
) -> bytes:
    body = (f"{DISTRICT} thông tin về việc: {draft.subject}.", chance.choice(_BODIES), remark or chance.choice(_BODIES))
    return _pdf(
        issuer=DISTRICT,
        symbol_number=f"{NUMBER_GAP}/{draft.code}",
        place_and_date=f"Bình Minh, {date_with_gaps(day)}",
        subject=draft.subject,
        body_paragraphs=body,
        signer_title=signer.title,
        signer_name=signer.name,
        recipients=to,
        urgency="Hỏa tốc" if draft.urgency == "flash" else "",
    )


def date_with_gaps(day: datetime) -> str:
    """Day and month stand on the page with the number."""
    return f"ngày{DATE_GAP}tháng{DATE_GAP}năm {day.astimezone(ZONE):%Y}"


def answer_pdf(subject: str, to: str, day: datetime) -> bytes:
    return _pdf(
        issuer=DISTRICT,
        symbol_number=f"{NUMBER_GAP}/UBND-VP",
        place_and_date=f"Bình Minh, {day_in_words(day)}",
        subject=f"Trả lời: {subject}"[:200],
        body_paragraphs=(f"Phúc đáp văn bản của {to}, {DISTRICT} có ý kiến như sau:", _BODIES[0], _BODIES[3]),
        signer_title=CHAIRMAN.title,
        signer_name=CHAIRMAN.name,
        recipients=(to,),
    )


def mail(letter: Letter, pdf: bytes, symbol: str, sent: datetime, key: str) -> bytes:
    """The mail that carries the letter, as the district's mail server hands it on; ``key`` makes its Message-ID.

    By the older classes: EmailMessage of Python 3.11 loses spaces where it folds a long Vietnamese subject.
    """
    message = MIMEMultipart()
    domain = letter.sender.address.partition("@")[2]
    message["Authentication-Results"] = f"{MAIL_SERVER}; dmarc=pass header.from={domain}"
    message["From"] = formataddr((letter.sender.name, letter.sender.address))
    message["To"] = POST_BOX
    message["Subject"] = Header(letter.subject, "utf-8", header_name="Subject").encode()
    message["Date"] = format_datetime(sent)
    message["Message-ID"] = f"<{key}@{domain}>"
    text = f"Kính gửi {DISTRICT},\n\n{letter.sender.name} xin gửi văn bản số {symbol}.\n\nTrân trọng.\n"
    message.attach(MIMEText(text, "plain", "utf-8"))
    attachment = MIMEApplication(pdf, "pdf")
    attachment.add_header("Content-Disposition", "attachment", filename=f"{symbol.replace('/', '-')}.pdf")
    message.attach(attachment)
    return message.as_bytes()


def _pdf(
    *,
    issuer: str,
    symbol_number: str,
    place_and_date: str,
    subject: str,
    body_paragraphs: tuple[str, ...],
    signer_title: str,
    signer_name: str,
    recipients: tuple[str, ...],
    urgency: str = "",
) -> bytes:
    with tempfile.TemporaryDirectory() as folder, ONE_AT_A_TIME:
        path = Path(folder) / "letter.pdf"
        official_letter(
            path,
            issuer=issuer,
            symbol_number=symbol_number,
            place_and_date=place_and_date,
            subject=subject,
            body_paragraphs=body_paragraphs,
            signer_title=signer_title,
            signer_name=signer_name,
            recipients=recipients,
            urgency=urgency,
        )
        return path.read_bytes()


_BODIES = (
    "Giao các phòng, ban liên quan chủ động rà soát hồ sơ, đối chiếu số liệu và tổng hợp kết quả theo đúng thời hạn.",
    "Đề nghị quý cơ quan xem xét, cho ý kiến bằng văn bản và cử cán bộ phối hợp trong quá trình thực hiện.",
    "Kinh phí thực hiện được bố trí từ nguồn ngân sách theo phân cấp và các nguồn hợp pháp khác theo quy định.",
    "Trong quá trình triển khai, nếu có khó khăn, vướng mắc, đề nghị phản ánh kịp thời để được hướng dẫn, giải quyết.",
    "Việc thực hiện phải bảo đảm công khai, minh bạch, đúng thẩm quyền và tiết kiệm chi phí cho người dân.",
)

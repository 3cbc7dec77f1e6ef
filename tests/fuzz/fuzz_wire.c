/* The connection state machine: a loop with its connections, links and faults as they are, turned by hand over a backend that does
 * what the input says. The input draws which request completes next and with what (short counts, errors, no memory, completions that
 * cross a cancel), what bytes come, when time passes, and which faults are in force.
 *
 * 1. Bytes reach the other end as they came, in order, unless a fault of the run may destroy some.
 * 2. A request of a connection is in flight as often as the connection says.
 * 3. In the end, with no fault in force, every source ended and every request answered, every connection goes by itself; whoever was
 *    not disturbed has got every byte, and nothing is left: chunks, held bytes, places, references. */
#include "tests/fuzz/fuzz.h"

#include "injector/accept.h"
#include "scenarios/base/cleanup.h"
#include "scenarios/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENTS_MAX = 4, PENDING_MAX = 64, TURNS_MAX = 200000 /* a byte a turn, when sliced so */, BYTES_MAX = 24000, RULES_MAX = 3, CHUNKS = 64 };

/* Noise of printable bytes: each is a draw. */
const char *const fuzz_seeds[] = {
    "P!a1P#b2P$c3P%d4P&e5P'f6P(g7P)h8P*i9P+j0P,k1P-l2P.m3P/n4P0o5",
    "N7Wy*-j0Sp+f@(/]Z,C/l[+n3Avvp+opW*A)m5JZ6k3oLm};1pow<T0l,n+u>e}j[Map`SKD;D.oKieP_Is-3gZ9P7dZ){-moMP~Qrep`,/Gb{,+Lxo}_IV{"
    "Q&aR9t2e+@",
    "I4DWWe.9_XlH5]lHZR}UB7.:7BzB$dq;FI#6ZjTtnM4~guy|*`}mWWXW1cwX+<,>^82Pr*1#n7j0St'->tU7wEQsSb32daccL.61PFc~8h&>iS6~k'iKx/Fh"
    "S9RAjkfOwAt<CXB=heR''HbF<~sQ_QS.A1Bb=P>cut#cyQx.z3V=c:]wO/WaX.894'7qay6trbzQ7ll4&$y1i5]<@'E@JfCqNFkZ4+R`zphZf4j7ig&^;s#7"
    ":6bu3m+N}himc1m+D<H)0f_m',^Ntfsg=~H_gjcfDhFm=_5Z3W^M-{C[-@{K37xzS6E5aA0Wd8{A8]gXPZ=RM/S&Pl`^&VOhuJg,2B1.FG);G4[|FX7jgoeN"
    "/H+~;[-G&w/F.sA,F3`$PlZGu4)iC2",
    "8F*;=LvLi>J_f|:GQ&E($&fl<gbD_1zy]zekWfL~@BP=w5XQ*4$-vE]8+.{Uf{IrD~J)`;8G_#FSOlND(L@R;#OU.bHfy=Df#/F/6Xq)W&KKvB.pi7zrVNe7"
    "Iux6)gv[f5ifn&}p}~xB.')5wS1U_m*v&vj}DdF#`,fj/zi,bE-FC>By`eU-c}I)tvx=-r6OEy~Kun5$c+dG|0~@|dJhIaaa3l=L.b&J`-f_GV>>-p/6iFS4"
    "svgH2SBedW'8#d}_XK6ZQUM3O#NPW3=$JET,WVq-S[H*H1*zIw7DG]gM<T['vXll>.*Y_t5xId*l49bZPIKEyFXyCKcm{W39x8->felA_O_[5l<D/:Pm/MCT"
    "Fn=&YVYi>UGP+eHoS4}fiv@/GDVXx_",
    "]L&4([bqd#-Wia_D1A77h}1x`.l)#4Bn(xK4vEiw]20-Kip<VFAr#$jK`HMxDbiClD'YyL+&<e|xZ.EB{[TBe(PZS}W=#Jf,>e=L<BaAFJ1uet;AdZ{+r6W*"
    "@'r6Z*+;W_M2.9O<;yia(L{UTO^91#.H.QZ3m>URL]/*b=Tk_<NSb'vYDvX)U(a,+E<,sPSGOt)F~MHK#rw,'B1baVE]e4e;$K~7sCNM`Sr.g=W8DY,y(clk"
    "N8[1-Fu.>0Ze_:B5Z`u|Cj{3JJHnGTEF=^D;DC7Ip<N,WEDfiBy0ya(1#bB_T)JB3*<rp<-Tg:_sF{#1wruQ@(TP6)>E(ry>$NY|T;uL->(elc,Y0Wzl7wj/"
    "y8WGYI{LZ*LnRZZ&Sx=WX>#]8[2/XoS`84$*l6xW/ouTf96QI8h9,1Vd=K4)cM*swV/u~8wAuXt=b;n@)Xh8VR37D<)m|({N3Vr`lvLyZLpD[VzT_f^:&#ud"
    "aC_u`:bX1,4R]S/^fgz))w4.Mg.*fUy5',t~2<4d",
    "I9}A,QtE8NtH`6Efc>qFtfCMT(=;X8wH|NU9F2i*wS_mhp~1EjvWTFUTo6SO.^B:t*JhELwpzM#(A7Jtv]ZgS*4dBty)&*#nRK1hRjAYpKq5>Sub85$D7_0,"
    "w6{GXF$+xmQrxp^sheD9#)+j'X;C8+1$tlz=6Y=hsxfxxZt:gL,Kv*cj#U]a.y_:A1FBx(3O~F*Gwl|]}hFJx@.f$9FC=8N<VOrCUv~{jbbi#']BoL@Wup-n"
    "96('21u8Q6'')5~xw),),qS=j{,V1D>>2((w/vvIc040x>JMP[F&QEI*TNsfbIu'Y']h0Qb*jn@/oI9]#i=I*#Qd0d~;eqQgFo8I@Be92w.dm1vNR0XW/[x'"
    "T>KF[kf9UvB`4jr~sx(QpNh7_zlN9a^~EpB4OaxCf<GKu77DNshQ8CN<F19z1=V76KK]H=1w1H>Va($X]~AfvJa&6EsX#D]oqxZB{yxpB|;x3`]MFv0ZDXv8"
    "E[c`&uYh|z;yN$Vd1(Ek@8=hQ0o`k>bg&wThPY`>",
    "};Wg3tRw+EHUX+$-ZZv|RpF1AKXiAWa@94,w<bxmA6R{wYaJly4bRBGU}E[|;c#HRDyKNcd[uw.zS7KV+.nN5iQwp$z$>-yJEs0p6B;_Q7>Xj9t~s/{lwK=e"
    "~@i.^{2m3FZB5bem+ca6dDe9kr#8Nane{JaT[Z|-;wSwx'&t)}O0gcd6(@Zv4P0zSPbil>I]P[El*JJReXOfGfQ>ye3O<MK4qw/)XlXko*XK1#)<bsz+fktU"
    "t6v|~r}.@){w`v:0z;(Z0y$T5LmFK;Z(M&]nxp*enh)3ZoX_,$}Vrqz7bYl1.xb@7v$[#$}{3/@34b&HnD_;*S~6.Jvme`{E*($+$y}u.VLLr9ds+MTo^b|9"
    "62Sx8vZcV_GnOJH+uyrOs$7rLp[DUV}UsB_I~#NFG[8q)I6o6Hl}eQj.kldU=BLs+|Wa>Eq$V`k/jR,BWphFhNcfq=<@</;JSonRXh7D)eT1Tva.7Mr'QHhs"
    "&0(>ndqn@FH[0_qs4E(P=;U.'*(mT`d,rwW3/EMnBx/{fW;_8TCA:(ER+l'*Fgxc+06M#=|Kqq^y1bNTEV3TcU9^C6|$a<(8A-uT5_0V&v-_PNBc2vS6OA+;"
    "_l6^7GZYD7'GoJO9Fd1M`c27g+v{@mcI3E=S]FCC0VJZ8+J6w&",
    NULL,
};

/* ---- the input -------------------------------------------------------------------------------------------------------- */

struct source {
    const uint8_t *bytes;
    size_t left;
};

static struct source source;

static uint32_t draw(uint32_t below)
{
    if (!source.left)
        return 0;
    source.left--;
    return *source.bytes++ % below;
}

/* ---- the clock of the run --------------------------------------------------------------------------------------------- */

static uint64_t virtual_ns; /* 0: the real one */

int clock_gettime(clockid_t clock, struct timespec *time);
int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (!virtual_ns)
        return (int)syscall(SYS_clock_gettime, clock, time);
    *time = ns_timespec(virtual_ns);
    return 0;
}

static void pass_time(uint64_t most_ns)
{
    static const uint64_t steps_ns[] = { 0, 1000, 50000, NS_PER_MS, 7 * NS_PER_MS, 100 * NS_PER_MS, NS_PER_S, 3 * NS_PER_S };

    uint64_t step_ns = steps_ns[draw(ARRAY_SIZE(steps_ns))];

    virtual_ns += MIN(step_ns, most_ns);
}

/* ---- the peers -------------------------------------------------------------------------------------------------------- */

/* A connection as its ends know it: by its number at the listener. */
struct peers {
    int fds[2];            /* the client's, the upstream's end; -1 for none */
    uint64_t came[2];      /* bytes handed in, by direction */
    uint64_t went[2];      /* and seen at the other end */
    bool ended[2];         /* the destination saw the end */
    bool disturbed;        /* an error was handed in: bytes may be lost */
};

static struct peers clients[CLIENTS_MAX];
static uint32_t client_count;
static bool destructive; /* a fault of this run may destroy bytes */

static uint8_t byte_of(uint32_t client, int direction, uint64_t offset)
{
    return (uint8_t)((offset * 131 + offset / 251) ^ (client * 2 + (uint32_t)direction) * 53);
}

static void look(uint32_t client, int direction)
{
    struct peers *peers = &clients[client];
    int fd = peers->fds[direction == TO_UPSTREAM];
    uint8_t bytes[65536];
    ssize_t got = 0;

    while (fd >= 0 && !peers->ended[direction] && (got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < got && !destructive; i++)
            fuzz_check(bytes[i] == byte_of(client, direction, peers->went[direction] + (uint64_t)i));
        peers->went[direction] += (uint64_t)got;
    }
    if (fd >= 0 && (got == 0 || (got < 0 && errno != EAGAIN)))
        peers->ended[direction] = true;
    fuzz_check(destructive || peers->went[direction] <= peers->came[direction]);
}

static void look_at_peers(void)
{
    for (uint32_t i = 0; i < client_count; i++)
        for (int direction = 0; direction < DIRECTIONS; direction++)
            look(i, direction);
}

/* ---- the backend ------------------------------------------------------------------------------------------------------ */

enum kind { KIND_ACCEPT, KIND_RECV, KIND_SEND, KIND_CONNECT, KIND_POLL };

struct pending {
    enum kind kind;
    uint64_t tag;
    int fd;
    bool repeat, small, cancelled;
    uint32_t part_count;
    struct iovec parts[IO_PARTS_MAX];
};

struct io {
    struct loop *loop;
    struct pending pending[PENDING_MAX];
    uint32_t count;
    bool kindly; /* no errors any more; sources end */
};

static struct pending *ask(struct io *io, enum kind kind, uint64_t tag, int fd)
{
    fuzz_check(io->count < PENDING_MAX && fd >= 0);
    for (uint32_t i = 0; i < io->count; i++)
        fuzz_check(io->pending[i].tag != tag);
    io->pending[io->count] = (struct pending){ .kind = kind, .tag = tag, .fd = fd };
    return &io->pending[io->count++];
}

static void fuzz_accept(struct io *io, uint64_t tag, int fd)
{
    ask(io, KIND_ACCEPT, tag, fd)->repeat = true;
}

static void fuzz_recv(struct io *io, uint64_t tag, int fd, bool repeat)
{
    ask(io, KIND_RECV, tag, fd)->repeat = repeat;
}

static void fuzz_recv_small(struct io *io, uint64_t tag, int fd, bool repeat)
{
    struct pending *pending = ask(io, KIND_RECV, tag, fd);

    pending->repeat = repeat;
    pending->small = true;
}

static void fuzz_send(struct io *io, uint64_t tag, int fd, const struct iovec *parts, uint32_t count)
{
    struct pending *pending = ask(io, KIND_SEND, tag, fd);

    fuzz_check(count && count <= IO_PARTS_MAX);
    memcpy(pending->parts, parts, count * sizeof(*parts));
    pending->part_count = count;
}

static void fuzz_connect(struct io *io, uint64_t tag, int fd, const struct sockaddr *address, socklen_t size)
{
    fuzz_check(address->sa_family == AF_UNIX && size);
    (void)ask(io, KIND_CONNECT, tag, fd);
}

static void fuzz_poll(struct io *io, uint64_t tag, int fd, short events)
{
    fuzz_check(events);
    (void)ask(io, KIND_POLL, tag, fd);
}

static void fuzz_readable(struct io *io, uint64_t tag, int fd)
{
    ask(io, KIND_POLL, tag, fd)->repeat = true;
}

static void fuzz_cancel(struct io *io, uint64_t tag)
{
    for (uint32_t i = 0; i < io->count; i++)
        if (io->pending[i].tag == tag)
            io->pending[i].cancelled = true;
}

static struct peers *peers_of(const struct io *io, uint64_t tag, uint32_t *ret_client)
{
    const struct conn *conn = &io->loop->conns[(uint32_t)tag];

    fuzz_check(conn->state != CONN_FREE && conn->chain.sequence >= 1 && conn->chain.sequence <= client_count);
    *ret_client = (uint32_t)conn->chain.sequence - 1;
    return &clients[*ret_client];
}

static void give_accept(struct io *io, struct io_completion *completion)
{
    int ends[2];

    if ((io->kindly || client_count == CLIENTS_MAX || draw(8) == 0) && !completion->more) {
        completion->result = io->kindly ? -ECANCELED : draw(2) ? -EMFILE : -ECONNABORTED;
        return;
    }
    if (client_count == CLIENTS_MAX || io->kindly) {
        completion->result = -EMFILE;
        completion->more = false;
        return;
    }
    fuzz_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    clients[client_count++] = (struct peers){ .fds = { ends[1], -1 } };
    completion->result = ends[0];
}

static void give_bytes(struct io *io, const struct pending *pending, struct io_completion *completion)
{
    static const uint32_t sizes[] = { 1, 2, 100, 1000, 2048, 2049, 5000, 16384, 20000, CHUNK_BYTES - 1 };
    int direction = (int)(pending->tag >> 56 & 1);
    struct chunk *chunk = pending->small ? pool_chunk_small(io->loop->pool) : pool_chunk(io->loop->pool);
    uint32_t client, size;
    struct peers *peers = peers_of(io, pending->tag, &client);

    if (!chunk) {
        completion->result = -ENOBUFS;
        completion->more = false;
        peers->disturbed = true; /* without memory a connection may be reset */
        return;
    }
    size = sizes[draw(ARRAY_SIZE(sizes))];
    size = MIN(size, chunk->capacity - (chunk->capacity == CHUNK_BYTES)); /* a full one may be spliced next */
    for (uint32_t i = 0; i < size; i++)
        chunk->bytes[i] = byte_of(client, direction, peers->came[direction] + i);
    peers->came[direction] += size;
    chunk->filled = size;
    completion->chunk = chunk;
    completion->result = (int)size;
}

static void give_recv(struct io *io, const struct pending *pending, struct io_completion *completion)
{
    static const int failures[] = { -ECONNRESET, -ENOBUFS, -EAGAIN, -EINTR, -ETIMEDOUT };
    uint32_t client, outcome = io->kindly ? 0 : 1 + draw(12);
    struct peers *peers = peers_of(io, pending->tag, &client);

    if (outcome > 1 && outcome < 9 && peers->came[pending->tag >> 56 & 1] < BYTES_MAX) {
        give_bytes(io, pending, completion);
        return;
    }
    completion->more = false;
    completion->result = 0;
    if (outcome >= 9) {
        completion->result = failures[draw(ARRAY_SIZE(failures))];
        peers->disturbed |= completion->result == -ECONNRESET || completion->result == -ETIMEDOUT;
    }
}

static int send_some(const struct pending *pending, size_t most)
{
    struct iovec parts[IO_PARTS_MAX];
    struct msghdr head = { .msg_iov = parts };
    ssize_t sent;

    for (uint32_t i = 0; i < pending->part_count && most; i++) {
        parts[i] = (struct iovec){ pending->parts[i].iov_base, MIN(pending->parts[i].iov_len, most) };
        most -= parts[i].iov_len;
        head.msg_iovlen++;
    }
    sent = sendmsg(pending->fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : (int)sent;
}

static void give_send(struct io *io, const struct pending *pending, struct io_completion *completion)
{
    uint32_t client, outcome = io->kindly ? 0 : draw(8);
    struct peers *peers = peers_of(io, pending->tag, &client);

    if (outcome == 7) {
        completion->result = draw(2) ? -EPIPE : -ECONNRESET;
        peers->disturbed = true;
    } else if (outcome == 6) {
        completion->result = -EAGAIN;
    } else {
        completion->result = send_some(pending, outcome < 4 ? SIZE_MAX : 1 + draw(200));
    }
}

static void give_connect(struct io *io, const struct pending *pending, struct io_completion *completion)
{
    uint32_t client;
    struct peers *peers = peers_of(io, pending->tag, &client);
    int ends[2];

    if (!io->kindly && draw(6) == 0) {
        completion->result = draw(2) ? -ECONNREFUSED : -ETIMEDOUT;
        peers->disturbed = true;
        return;
    }
    fuzz_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 && dup3(ends[0], pending->fd, O_CLOEXEC) >= 0);
    close(ends[0]);
    peers->fds[1] = ends[1];
}

/* A request that was cancelled ends: by that, or by itself at the last moment. */
static void complete_one(struct io *io, uint32_t index, io_complete *complete, void *context)
{
    struct pending pending = io->pending[index];
    bool by_cancel = pending.cancelled && (io->kindly || draw(3) != 0);
    struct io_completion completion = { .tag = pending.tag, .more = pending.repeat && !pending.cancelled && (io->kindly || draw(4) != 0) };

    if (by_cancel)
        completion.result = -ECANCELED;
    else if (pending.kind == KIND_ACCEPT)
        give_accept(io, &completion);
    else if (pending.kind == KIND_RECV)
        give_recv(io, &pending, &completion);
    else if (pending.kind == KIND_SEND)
        give_send(io, &pending, &completion);
    else if (pending.kind == KIND_CONNECT)
        give_connect(io, &pending, &completion);
    else
        completion.result = POLLIN | POLLOUT;
    if (!completion.more)
        io->pending[index] = io->pending[--io->count];
    complete(context, &completion);
}

static int fuzz_wait(struct io *io, uint64_t timeout_ns, io_complete *complete, void *context)
{
    if (io->kindly)
        virtual_ns += MIN(timeout_ns, NS_PER_S);
    else
        pass_time(timeout_ns == 0 ? 1000 : timeout_ns);
    if (io->kindly) { /* all of them once, but listeners nobody cancelled */
        for (uint32_t i = io->count; i > 0; i--)
            if (io->pending[i - 1].kind != KIND_ACCEPT || io->pending[i - 1].cancelled)
                complete_one(io, i - 1, complete, context);
        return 0;
    }
    for (uint32_t left = draw(4); left && io->count; left--)
        complete_one(io, draw(io->count), complete, context);
    return 0;
}

static bool fuzz_can_recv(const struct io *io)
{
    return pool_bytes_free(io->loop->pool) > 0;
}

static const struct io_ops io_fuzz = {
    .name = "fuzz",
    .accept = fuzz_accept,
    .recv = fuzz_recv,
    .recv_small = fuzz_recv_small,
    .send = fuzz_send,
    .connect = fuzz_connect,
    .readable = fuzz_readable,
    .poll = fuzz_poll,
    .cancel = fuzz_cancel,
    .wait = fuzz_wait,
    .can_recv = fuzz_can_recv,
};

/* ---- the world -------------------------------------------------------------------------------------------------------- */

struct world {
    struct loop *loop;
    struct io io;
    struct pool_budget budget;
    struct proxy *proxy;
    struct armed *armed;
    uint64_t epoch;
};

static void check_flight(const struct world *world)
{
    uint32_t flying[CLIENTS_MAX + 1] = { 0 };

    for (uint32_t i = 0; i < world->io.count; i++) {
        uint64_t tag = world->io.pending[i].tag;

        if (tag >> 60 != OPERATION_ACCEPT && tag >> 60 != OPERATION_WAKE)
            flying[(uint32_t)tag]++;
    }
    for (uint32_t i = 0; i < world->loop->slots_used; i++)
        fuzz_check(world->loop->conns[i].state == CONN_FREE ? !flying[i] : world->loop->conns[i].inflight == flying[i]);
}

static void turn(struct world *world)
{
    fuzz_check(loop_turn(world->loop) == 0);
    look_at_peers();
    check_flight(world);
}

static void command(struct world *world, enum loop_verb verb, struct armed *armed)
{
    loop_ask(world->loop, verb, armed, world->proxy);
    for (int turns = 0; !loop_is_done(world->loop) && turns < TURNS_MAX; turns++)
        turn(world);
    fuzz_check(loop_is_done(world->loop));
}

static void draw_rule(struct plan_rule *rule, uint32_t number)
{
    static const int64_t values[] = { 0, 1, 2, 1000, 30000, 1000000, 20000000, 1000000000 };
    const struct fault_desc *fault;

    do
        fault = &fault_descs[draw(FAULT_COUNT)];
    while (!stream_registry[fault->id] && source.left);
    if (!stream_registry[fault->id])
        fault = fault_find("latency", BIT(LAYER_STREAM), NULL);
    plan_rule_init(rule, fault, (const char *const[]){ "one", "two", "three" }[number]);
    for (size_t i = 0; i < fault->param_count; i++) {
        const struct param_desc *param = &fault->params[i];
        int64_t value = values[draw(ARRAY_SIZE(values))];

        if (param->required || draw(2))
            rule->params.slot[param->slot] = MAX(param->minimum, MIN(param->maximum, value));
    }
    rule->selector.direction = 1 + draw(3);
    rule->selector.nth = draw(3);
    if (draw(4) == 0)
        rule->selector.budget = 1 + draw(2);
    if (draw(4) == 0)
        rule->selector.active_max = 1;
    if (draw(6) == 0)
        rule->selector.until_ns = (1 + draw(50)) * NS_PER_MS;
    rule->selector.observe = draw(8) == 0;
    destructive |= strcmp(fault->name, "latency") && strcmp(fault->name, "bandwidth") && strcmp(fault->name, "slicer") &&
                   strcmp(fault->name, "slow_open") && strcmp(fault->name, "blackhole");
}

static void publish(struct world *world)
{
    uint32_t count = 1 + draw(RULES_MAX);
    struct plan *plan = calloc(1, PLAN_SIZE(RULES_MAX));
    struct armed *armed;

    *plan = (struct plan){ .magic = PLAN_MAGIC, .version = PLAN_VERSION, .rule_size = sizeof(struct plan_rule), .rule_count = count,
                           .epoch = ++world->epoch, .seed = draw(256) };
    for (uint32_t i = 0; i < count; i++)
        draw_rule(&plan->rules[i], i);
    if (plan_check(plan, PLAN_SIZE(count)) == 0) {
        fuzz_check(armed_new(plan, world->armed, stream_registry, virtual_ns, (1 + draw(100)) * 20 * NS_PER_MS, -1, &armed) == 0);
        command(world, LOOP_ADOPT, armed);
        armed_free(world->armed);
        world->armed = armed;
    }
    free(plan);
}

static void begin(struct world *world)
{
    struct injector_limits limits = {
        .loops = 1,
        .connections_max = CLIENTS_MAX - 1, /* one too few */
        .proxies_max = 1,
        .window_bytes = 65536,
        .hold_connection_bytes_max = 300000,
        .hold_proxy_bytes_max = 500000,
    };
    struct sockaddr_un *upstream;

    memset(world, 0, sizeof(*world));
    client_count = 0;
    destructive = false;
    virtual_ns = 1000 * NS_PER_S;
    pool_budget_init(&world->budget, (uint64_t)CHUNKS * CHUNK_BYTES, 1);
    world->loop = loops_new(1);
    fuzz_check(world->loop && loop_prepare(world->loop, 0, &limits, &world->budget, &io_fuzz, -1) == 0);
    world->loop->io = &world->io;
    world->loop->command_done = 1;
    world->io.loop = world->loop;
    world->proxy = calloc(1, sizeof(*world->proxy) + sizeof(world->proxy->shares[0]));
    upstream = (void *)&world->proxy->upstream;
    upstream->sun_family = AF_UNIX;
    world->proxy->upstream_size = sizeof(*upstream);
    world->proxy->references = 2;
    world->proxy->hash = 99;
    world->proxy->listen_fd = dup(STDERR_FILENO);
    command(world, LOOP_OPEN, NULL);
}

static void check_peers(void)
{
    for (uint32_t i = 0; i < client_count; i++) {
        struct peers *peers = &clients[i];

        for (int direction = 0; direction < DIRECTIONS; direction++) {
            look(i, direction);
            fuzz_check(destructive || peers->disturbed || peers->fds[1] < 0 || peers->went[direction] == peers->came[direction]);
        }
        for (int side = 0; side < 2; side++)
            if (peers->fds[side] >= 0)
                close(peers->fds[side]);
    }
}

static void end(struct world *world)
{
    world->io.kindly = true;
    command(world, LOOP_ADOPT, NULL);
    for (uint32_t i = 0; world->armed && i < world->armed->count; i++) {
        fuzz_check(world->armed->rules[i].live->held_bytes == 0);
        fuzz_check(world->armed->rules[i].live->active == 0);
    }
    armed_free(world->armed);
    for (int turns = 0; world->loop->connections_open && turns < TURNS_MAX; turns++)
        turn(world);
    fuzz_check(world->loop->connections_open == 0);
    command(world, LOOP_CLOSE, NULL);
    check_peers();
    fuzz_check(world->io.count == 0);
    fuzz_check(pool_chunks_used(world->loop->pool) == 0);
    fuzz_check(world->proxy->held_bytes == 0 && world->proxy->held_cost == 0);
    fuzz_check(world->proxy->references == 1);
    proxy_unref(world->proxy);
    loop_release(world->loop);
    free(world->loop);
    virtual_ns = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;

    source = (struct source){ data, MIN(size, (size_t)1500) };
    begin(&world);
    while (source.left) {
        uint32_t action = draw(32);

        if (action == 0)
            publish(&world);
        else if (action == 1)
            command(&world, LOOP_ADOPT, NULL), armed_free(world.armed), world.armed = NULL;
        else
            turn(&world);
    }
    end(&world);
    return 0;
}

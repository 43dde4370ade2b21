import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFilePermission;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Every gesture of a taskdir, a directory that is a task queue: submit messages, claim tasks, keep, finish, fail and
 * give them back, write notes, wait. It writes and renames files, holds no state, needs no daemon to run, and decides
 * nothing: whatever it writes, the daemon judges. The rules are those of SPEC.md.
 *
 * <p>A claim is kept by renewing its lease. Java cannot lock as SPEC 7.6 wants it: its FileLock is fcntl's, on Linux
 * another lock than flock, and one that is lost as soon as anything in the process closes the file.
 *
 * <p>This one file is a library, and the program of adapters/CONTRACT.md: {@code java Taskdir.java help}. JDK 17.
 */
@SuppressWarnings("serial") // nobody sends its exceptions anywhere
public final class Taskdir {
    private static final String WORD = "[a-z0-9][a-z0-9_-]{0,63}";
    private static final Pattern OFFER = Pattern.compile("[0-9]-[0-9]{12}\\.(" + WORD + ")\\.([1-9][0-9]{0,8})\\.json");
    private static final Pattern LEASE = Pattern.compile("\"lease_seconds\"\\s*:\\s*([0-9]{1,9})");
    private static final Duration POLL = Duration.ofMillis(100);
    private static final int MAX_MESSAGE = 8192;
    private static final SecureRandom RANDOM = new SecureRandom();

    private final Path root;

    private Taskdir(Path root) {
        this.root = root;
    }

    // --- what can be the matter --------------------------------------------------------------------------------------

    /** Something is the matter that the caller can do something about; a plain IOException is the file system's. */
    public static class Problem extends IOException {
        private final int exitCode;

        Problem(int exitCode, String message) {
            super(message);
            this.exitCode = exitCode;
        }
    }

    /** The claimed file is gone, so the task is no longer yours: stop. */
    public static final class Gone extends Problem {
        Gone(Object path) {
            super(66, "gone, it is no longer yours, stop: " + path);
        }
    }

    /** A message of this id lies in inbox/ already: take an id of your own. */
    public static final class Taken extends Problem {
        Taken(String id) {
            super(73, "inbox/" + id + ".json is there already");
        }
    }

    /** Another process holds the claim by a lock. */
    public static final class Held extends Problem {
        Held(Path path) {
            super(75, "another process holds " + path);
        }
    }

    /** The agent has claimed what it is to resume or to give back first. */
    public static final class Unfinished extends Problem {
        private final transient List<Claim> claims;

        Unfinished(List<Claim> claims) {
            super(75, "unfinished, resume or delete it: " + claims.stream().map(each -> each.path.toString()).toList());
            this.claims = claims;
        }

        /** Returns the claims, in byte order of their names. */
        public List<Claim> claims() {
            return claims;
        }
    }

    /** A name is outside the grammar of SPEC section 5, or not to be used here. */
    public static final class BadName extends Problem {
        BadName(String what, Object name) {
            super(2, what + ": " + name);
        }
    }

    /** What a handler throws to report an error result (SPEC section 6.5); code is a word, or empty. */
    public static final class Failure extends Exception {
        private final String code;
        private final boolean retry;

        public Failure(String code, String message, boolean retry) {
            super(message);
            this.code = code;
            this.retry = retry;
        }
    }

    /** What a handler throws to let somebody else do the task. */
    public static final class GiveBack extends Exception {
    }

    // --- the root ----------------------------------------------------------------------------------------------------

    /** Returns the root at a directory, which holds a taskdir.json. */
    public static Taskdir open(Path directory) throws IOException {
        Path at = Raw.absolute(directory);
        if (!Files.isRegularFile(at.resolve("taskdir.json"))) {
            throw new Problem(66, at + ": no taskdir.json: set TASKDIR, or run `taskdir init`");
        }
        return new Taskdir(at.toRealPath());
    }

    /** Returns the root at $TASKDIR, or else the nearest one at or above the working directory. */
    public static Taskdir find() throws IOException {
        byte[] named = Raw.environment("TASKDIR");
        if (named.length > 0) {
            return open(Raw.path(named));
        }
        Path here = Raw.directory();
        for (Path at = here.toRealPath(); at != null; at = at.getParent()) {
            if (Files.isRegularFile(at.resolve("taskdir.json"))) {
                return new Taskdir(at);
            }
        }
        return open(here); // tells what is missing
    }

    /** Returns the root's absolute path. */
    public Path path() {
        return root;
    }

    /** Submits a message under an id that is minted, and returns that. See the other one. */
    public String submit(String message) throws IOException {
        String id = mintId();
        submit(id, message.getBytes(StandardCharsets.UTF_8));
        return id;
    }

    /** Puts a message into inbox/, durably and never in place of another: Taken. BadName, Problem if it is empty. */
    public void submit(String id, byte[] message) throws IOException {
        wantWord("not an id", id);
        if (message.length == 0) {
            throw new Problem(65, "the message is empty");
        }
        Path inbox = root.resolve("inbox");
        Path aside = writeAside(inbox, id, message);
        try {
            linkNew(aside, inbox.resolve(id + ".json"));
        } catch (FileAlreadyExistsException taken) {
            throw new Taken(id);
        } finally {
            Files.deleteIfExists(aside);
        }
        sync(inbox);
    }

    /** Claims from the queue "default". See the other one. */
    public Optional<Claim> claim(String agent) throws IOException {
        return claim(agent, "default");
    }

    /**
     * Takes the first task of a queue that it can get, by renaming it into claimed/AGENT/, which it makes if need be.
     * Returns nothing if there is none, or if the agent is benched (SPEC 7.18). BadName, Unfinished.
     */
    public Optional<Claim> claim(String agent, String queue) throws IOException {
        wantQueue(agent, queue);
        Path mine = root.resolve("claimed").resolve(agent);
        Path ready = root.resolve("ready").resolve(queue);
        if (!exists(mine)) {
            makeDirectory(mine);
        }
        List<Claim> held = unfinished(agent);
        if (!held.isEmpty()) {
            throw new Unfinished(held);
        }
        boolean again = true;
        while (again && !benched(mine)) { // once more when somebody was faster: what was offered since may be ours
            again = false;
            IOException stuck = null;
            for (String name : offersIn(ready)) {
                Path target = mine.resolve(name);
                try {
                    Files.move(ready.resolve(name), target, StandardCopyOption.ATOMIC_MOVE);
                    return Optional.of(claimAt(target));
                } catch (IOException failed) {
                    if (exists(ready.resolve(name))) {
                        stuck = failed;
                    } else {
                        again = true;
                    }
                }
            }
            if (stuck != null && !benched(mine)) {
                throw stuck;
            }
        }
        return Optional.empty();
    }

    /** Returns what the agent has claimed and handed in no result for, in byte order of the names. */
    public List<Claim> unfinished(String agent) throws IOException {
        wantWord("not the name of an agent", agent);
        Path mine = root.resolve("claimed").resolve(agent);
        List<Claim> claims = new ArrayList<>();
        for (String name : offersIn(mine)) {
            Claim claim = claimAt(mine.resolve(name));
            if (!claim.handedIn()) {
                claims.add(claim);
            }
        }
        return claims;
    }

    /** How a message ended: in "done", "failed" (canceled tasks too) or "rejected"; its record, or the reason. */
    public record Outcome(String place, Path path) {}

    /** Looks until a message has ended, for so long at most; null is for ever. BadName. */
    public Optional<Outcome> waitFor(String id, Duration patience) throws IOException, InterruptedException {
        wantWord("not an id", id);
        long start = System.nanoTime();
        while (true) {
            for (String place : List.of("done", "failed")) {
                Path path = root.resolve(place).resolve(id + ".json");
                if (exists(path)) {
                    return Optional.of(new Outcome(place, path));
                }
            }
            Path reason = root.resolve("rejected").resolve(id + ".reason.json");
            // It is void while a message of that name waits in inbox/, which may be the repair: look there first.
            if (!exists(root.resolve("inbox").resolve(id + ".json")) && exists(reason)) {
                return Optional.of(new Outcome("rejected", reason));
            }
            if (patience != null && System.nanoTime() - start >= patience.toNanos()) {
                return Optional.empty();
            }
            Thread.sleep(POLL.toMillis());
        }
    }

    // --- a claim -----------------------------------------------------------------------------------------------------

    /** Returns the claim of a file in claimed/AGENT/, such as one that another process claimed. BadName, Gone. */
    public static Claim claimOf(Path path) throws IOException {
        Path name = path.getFileName();
        if (name == null || !OFFER.matcher(name.toString()).matches()) {
            throw new BadName("not the name of a task", path);
        }
        Path directory;
        try {
            directory = Raw.absolute(path).getParent().toRealPath();
        } catch (IOException absent) {
            throw new Gone(path);
        }
        Path above = directory.getParent();
        if (above == null || above.getFileName() == null || !above.getFileName().toString().equals("claimed")) {
            throw new BadName("not in claimed/AGENT/", path);
        }
        Claim claim = claimAt(directory.resolve(name));
        if (!Files.isRegularFile(claim.path, LinkOption.NOFOLLOW_LINKS)) {
            throw new Gone(path);
        }
        return claim;
    }

    private static Claim claimAt(Path path) {
        Matcher parts = OFFER.matcher(path.getFileName().toString());
        if (!parts.matches()) {
            throw new IllegalArgumentException(path.toString());
        }
        return new Claim(path, parts.group(1), Integer.parseInt(parts.group(2)));
    }

    /**
     * A task that is yours until it is finished, given back or gone. It is no more than a path: nothing runs and
     * nothing is open before {@link #hold}. For what you do outside, the id is the idempotency key, the attempt the
     * fencing token.
     */
    public record Claim(Path path, String id, int attempt) implements AutoCloseable {
        /** Reads the claimed file: JSON in UTF-8 (SPEC section 6.4). */
        public byte[] bytes() throws IOException {
            try {
                return Files.readAllBytes(path);
            } catch (NoSuchFileException absent) {
                throw new Gone(path);
            }
        }

        /** Reads the claimed file as text. */
        public String text() throws IOException {
            return new String(bytes(), StandardCharsets.UTF_8);
        }

        /** Says whether the claimed file is gone. Unless you handed in a result, the task is then no longer yours. */
        public boolean gone() {
            return !exists(path);
        }

        /** Says whether a result lies beside it that is not judged yet. */
        public boolean handedIn() {
            return exists(beside(".result.json"));
        }

        /** Where the daemon writes why it refused a result; another may then be handed in. */
        public Path refusal() {
            return beside(".refused.json");
        }

        /** Renews the lease by a touch, which never makes the file again. A hold does it for you. */
        public void keep() throws IOException {
            try {
                Files.setLastModifiedTime(path, FileTime.from(Instant.now()));
            } catch (NoSuchFileException absent) {
                throw new Gone(path);
            }
        }

        /** Adds a line for people and viewers, which renews the lease. */
        public void note(String text) throws IOException {
            wantThere();
            String time = Instant.now().truncatedTo(ChronoUnit.SECONDS).toString();
            String line = "{\"time\":\"" + time + "\",\"text\":" + quote(text) + "}\n";
            StandardOpenOption[] how = {StandardOpenOption.CREATE, StandardOpenOption.APPEND};
            try (FileChannel notes = FileChannel.open(beside(".notes.jsonl"), how)) {
                notes.write(ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8))); // one write: lines do not mix
            } catch (NoSuchFileException absent) {
                throw new Gone(path);
            }
        }

        /** Hands in the output, which is JSON, durably. It waits for no verdict. */
        public void finish(String output) throws IOException {
            finish(output.getBytes(StandardCharsets.UTF_8));
        }

        /** Hands in the output as it is. Problem if it is blank. */
        public void finish(byte[] output) throws IOException {
            if (blank(output)) {
                throw new Problem(65, "the output is empty");
            }
            ByteArrayOutputStream result = new ByteArrayOutputStream();
            result.writeBytes("{\"status\":\"ok\",\"output\":".getBytes(StandardCharsets.US_ASCII));
            result.writeBytes(output);
            result.writeBytes("}\n".getBytes(StandardCharsets.US_ASCII));
            handIn(result.toByteArray());
        }

        /** Hands in an error; code is a word or empty, the message is cut to 8,192 characters. BadName for the code. */
        public void fail(String code, String message, boolean retry) throws IOException {
            if (!code.isEmpty()) {
                wantWord("not a code", code);
            }
            String text = message == null || message.isEmpty() ? "no message" : message;
            if (text.codePointCount(0, text.length()) > MAX_MESSAGE) {
                text = text.substring(0, text.offsetByCodePoints(0, MAX_MESSAGE));
            }
            String told = (code.isEmpty() ? "" : "\"code\":" + quote(code) + ",") + "\"message\":" + quote(text);
            String result = "{\"status\":\"error\",\"error\":{" + told + "}" + (retry ? ",\"retry\":true}\n" : "}\n");
            handIn(result.getBytes(StandardCharsets.UTF_8));
        }

        /** Lets somebody else do it, at once. */
        public void giveBack() throws IOException {
            if (!Files.deleteIfExists(path)) {
                throw new Gone(path);
            }
        }

        /** Keeps the lease fresh until the hold is closed. Gone, Held. */
        public Hold hold() throws IOException {
            return new Hold(this, () -> {});
        }

        /**
         * Gives nothing away in silence: what is still yours and has no result becomes an error result with the code
         * "unfinished", to be tried again. After finish, fail and giveBack it does nothing.
         */
        @Override
        public void close() throws IOException {
            if (!gone() && !handedIn()) {
                try {
                    fail("unfinished", "the work ended without a result", true);
                } catch (Gone lost) {
                    return; // meanwhile
                }
            }
        }

        private void handIn(byte[] result) throws IOException {
            wantThere();
            Path aside;
            try {
                aside = writeAside(path.getParent(), stem() + ".result", result);
            } catch (NoSuchFileException absent) {
                throw new Gone(path);
            }
            try {
                wantThere();
                Files.move(aside, beside(".result.json"), StandardCopyOption.ATOMIC_MOVE);
            } finally {
                Files.deleteIfExists(aside);
            }
            sync(path.getParent());
        }

        private void wantThere() throws Gone {
            if (gone()) {
                throw new Gone(path);
            }
        }

        private String stem() {
            String name = path.getFileName().toString();
            return name.substring(0, name.length() - ".json".length());
        }

        private Path beside(String ending) {
            return path.resolveSibling(stem() + ending);
        }
    }

    /** Keeps a claim: a thread that renews the lease after every third of it, and notices when the claim is gone. */
    public static final class Hold implements AutoCloseable {
        private final Claim claim;
        private final Runnable whenLost;
        private final CountDownLatch closed = new CountDownLatch(1);
        private final Thread thread;
        private volatile boolean lost;

        Hold(Claim claim, Runnable whenLost) throws IOException {
            if (Raw.isLocked(claim.path)) {
                throw new Held(claim.path);
            }
            this.claim = claim;
            this.whenLost = whenLost;
            claim.keep(); // work that is resumed may be near its lease's end
            Duration every = lease(claim.text()).dividedBy(3);
            thread = new Thread(() -> renew(every), "taskdir " + claim.id);
            thread.setDaemon(true);
            thread.start();
        }

        /** Says whether the claimed file went away: stop, the task is no longer yours. */
        public boolean lost() {
            return lost;
        }

        /** Ends the renewing, and nothing else. */
        @Override
        public void close() {
            end();
        }

        private void end() {
            closed.countDown();
            boolean interrupted = false;
            while (true) {
                try {
                    thread.join();
                    break;
                } catch (InterruptedException again) {
                    interrupted = true;
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }

        private void renew(Duration every) {
            long look = Math.min(every.toMillis(), POLL.toMillis());
            long renewed = System.nanoTime();
            try {
                while (!closed.await(look, TimeUnit.MILLISECONDS)) {
                    if (claim.gone()) {
                        lost = true;
                        whenLost.run();
                        return;
                    }
                    if (System.nanoTime() - renewed >= every.toNanos()) {
                        renewed = System.nanoTime();
                        try {
                            claim.keep();
                        } catch (IOException later) {
                            continue; // gone, as the next look shows, or to be tried again
                        }
                    }
                }
            } catch (InterruptedException end) {
                Thread.currentThread().interrupt();
            }
        }

        /** Finds the lease without reading JSON: the input may name another, and the smallest is safe. */
        static Duration lease(String offer) {
            long least = Long.MAX_VALUE;
            for (Matcher found = LEASE.matcher(offer); found.find(); ) {
                least = Math.min(least, Long.parseLong(found.group(1)));
            }
            return Duration.ofSeconds(least == Long.MAX_VALUE ? 3 : Math.max(1, least));
        }
    }

    // --- a worker ----------------------------------------------------------------------------------------------------

    /** Does one task: returns the output, JSON or null. Its thread is interrupted when the claim is lost: then stop. */
    @FunctionalInterface
    public interface Handler {
        String handle(Claim claim) throws Exception;
    }

    @FunctionalInterface
    private interface RawHandler {
        byte[] handle(Claim claim) throws Exception;
    }

    /** Claims tasks and has them done, one after the other. */
    public final class Worker {
        private final String agent;
        private final CountDownLatch stopped = new CountDownLatch(1);
        private String queue = "default";
        private int tasks = Integer.MAX_VALUE;
        private Duration idle;
        private Consumer<String> log = words -> {};

        Worker(String agent) {
            this.agent = agent;
        }

        /** Names the queue. */
        public Worker queue(String name) {
            queue = name;
            return this;
        }

        /** Ends the worker after so many tasks. */
        public Worker tasks(int number) {
            tasks = number;
            return this;
        }

        /** Ends the worker once nothing could be claimed for so long. */
        public Worker idle(Duration time) {
            idle = time;
            return this;
        }

        /** Gets a line for what a person may want to know. */
        public Worker log(Consumer<String> to) {
            log = to;
            return this;
        }

        /** Ends the worker after the task in hand, from any thread. */
        public void stop() {
            stopped.countDown();
        }

        /**
         * Works until tasks, idle or stop end it, or an interrupt. Work that the agent left unfinished comes first. A
         * Failure of the handler becomes an error result as it is, a GiveBack none, any other exception one of the code
         * "error" that may be retried. A result that the handler handed in by itself stands.
         */
        public void run(Handler handler) throws IOException {
            work(claim -> {
                String output = handler.handle(claim);
                return output == null ? null : output.getBytes(StandardCharsets.UTF_8);
            });
        }

        private void work(RawHandler handler) throws IOException {
            wantQueue(agent, queue);
            long since = System.nanoTime();
            for (int done = 0; done < tasks && stopped.getCount() > 0; ) {
                Claim claim = take();
                if (claim != null && work(claim, handler)) {
                    done++;
                    since = System.nanoTime();
                } else if (idle != null && System.nanoTime() - since >= idle.toNanos()) {
                    return;
                } else if (pause()) {
                    return;
                }
                if (Thread.currentThread().isInterrupted()) {
                    return;
                }
            }
        }

        /** Returns unfinished work, else a new task, else null. What was refused would be refused again: it fails. */
        private Claim take() throws IOException {
            for (Claim claim : unfinished(agent)) {
                if (Raw.isLocked(claim.path)) {
                    continue; // a twin's
                }
                if (!exists(claim.refusal())) {
                    return claim;
                }
                log.accept(claim.id + ": its result was refused");
                try {
                    claim.fail("refused", "the result was refused", true);
                } catch (Gone lost) {
                    continue;
                }
            }
            try {
                return claim(agent, queue).orElse(null);
            } catch (Unfinished twins) {
                return null;
            }
        }

        /** Has a task done and hands in what came of it; false if it turned out to be somebody else's before. */
        private boolean work(Claim claim, RawHandler handler) throws IOException {
            Hold hold;
            try {
                hold = new Hold(claim, Thread.currentThread()::interrupt);
            } catch (Gone | Held others) {
                log.accept(others.getMessage());
                return false;
            }
            Ending ending = null;
            boolean interrupted = false;
            try {
                ending = run(claim, handler);
            } finally {
                hold.end(); // no interrupt comes of it after this
                interrupted = Thread.interrupted() && !hold.lost(); // set, it would keep files from being written
                if (ending == null) { // an Error goes on; the task must not hang on it
                    claim.close();
                }
            }
            try {
                claim.wantThere();
                if (!claim.handedIn() && !exists(claim.refusal())) {
                    ending.how.run();
                }
                if (ending.returned) {
                    pause(); // it is offered again at once: others get their chance
                }
            } catch (Gone lost) {
                log.accept(lost.getMessage());
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
            return true;
        }

        private Ending run(Claim claim, RawHandler handler) {
            try {
                byte[] output = handler.handle(claim);
                byte[] given = output == null || blank(output) ? new byte[] {'n', 'u', 'l', 'l'} : output;
                return new Ending(false, () -> claim.finish(given));
            } catch (GiveBack back) {
                return new Ending(true, claim::giveBack);
            } catch (Failure failure) {
                String code = isWord(failure.code) ? failure.code : "";
                return new Ending(false, () -> claim.fail(code, failure.getMessage(), failure.retry));
            } catch (Exception error) { // whatever it is, it is the task's
                if (error instanceof InterruptedException) {
                    Thread.currentThread().interrupt();
                }
                return new Ending(false, () -> claim.fail("error", error.toString(), true));
            }
        }

        /** Waits a moment; true if the worker is to end. */
        private boolean pause() {
            try {
                return stopped.await(POLL.toMillis(), TimeUnit.MILLISECONDS);
            } catch (InterruptedException end) {
                Thread.currentThread().interrupt();
                return true;
            }
        }
    }

    /** What is to be done about a task whose handler has ended. */
    private record Ending(boolean returned, HandIn how) {
        interface HandIn {
            void run() throws IOException;
        }
    }

    /** Returns a worker, to be told more and then run. */
    public Worker worker(String agent) {
        return new Worker(agent);
    }

    // --- names, texts, files -----------------------------------------------------------------------------------------

    /** Says whether a text can be an id, an agent, a type or an error code. */
    public static boolean isWord(String text) {
        return text.matches(WORD);
    }

    private static void wantWord(String what, String text) throws BadName {
        if (!isWord(text)) {
            throw new BadName(what + " (" + WORD + ")", text);
        }
    }

    private static void wantQueue(String agent, String queue) throws BadName {
        wantWord("not the name of an agent", agent);
        wantWord("not the name of a queue", queue.startsWith("@") ? queue.substring(1) : queue);
        if (queue.startsWith("@") && !queue.equals("@" + agent)) {
            throw new BadName("the queue is for that agent alone", queue);
        }
    }

    /** Writes a text as a JSON string; half a surrogate pair becomes U+FFFD. */
    public static String quote(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        text.codePoints().forEach(each -> {
            if (each == '"' || each == '\\') {
                quoted.append('\\').append((char) each);
            } else if (each < ' ') {
                quoted.append(String.format("\\u%04x", each));
            } else {
                quoted.appendCodePoint(each >= 0xD800 && each <= 0xDFFF ? 0xFFFD : each);
            }
        });
        return quoted.append('"').toString();
    }

    private static boolean blank(byte[] data) {
        for (byte each : data) {
            if (each != ' ' && (each < '\t' || each > '\r')) {
                return false;
            }
        }
        return true;
    }

    /** Returns the names of the offers in a directory in byte order. All else there is let be, links included. */
    private static List<String> offersIn(Path directory) throws IOException {
        List<String> names = new ArrayList<>();
        try (DirectoryStream<Path> listed = Files.newDirectoryStream(directory)) {
            for (Path path : listed) {
                String name = path.getFileName().toString();
                if (OFFER.matcher(name).matches() && Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS)) {
                    names.add(name);
                }
            }
        } catch (NoSuchFileException | NotDirectoryException absent) {
            return List.of();
        }
        names.sort(null); // they are ASCII
        return names;
    }

    /** Makes a directory, but none above it: a root that is gone stays gone. */
    private static void makeDirectory(Path directory) throws IOException {
        try {
            Files.createDirectory(directory);
        } catch (FileAlreadyExistsException twin) {
            return;
        }
    }

    private static boolean benched(Path directory) throws IOException {
        PosixFileAttributeView view = Files.getFileAttributeView(directory, PosixFileAttributeView.class);
        return view != null && view.readAttributes().permissions().stream().noneMatch(each ->
                each == PosixFilePermission.OWNER_WRITE || each == PosixFilePermission.GROUP_WRITE
                        || each == PosixFilePermission.OTHERS_WRITE);
    }

    /** Says whether there is something of that name. After an error that does not deny it, nothing is concluded. */
    private static boolean exists(Path path) {
        return !Files.notExists(path, LinkOption.NOFOLLOW_LINKS);
    }

    /** Writes a new file under a dot-name that is nobody else's, durably, and returns its path. */
    private static Path writeAside(Path directory, String stem, byte[] data) throws IOException {
        Path aside = directory.resolve("." + stem + "." + random());
        try (FileChannel file = FileChannel.open(aside, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (ByteBuffer left = ByteBuffer.wrap(data); left.hasRemaining(); ) {
                file.write(left);
            }
            file.force(true);
        } catch (IOException failed) {
            Files.deleteIfExists(aside);
            throw failed;
        }
        return aside;
    }

    /**
     * Gives a file a second name and never replaces one: FileAlreadyExistsException. Where the file system has no hard
     * links it looks, then renames, which leaves a short moment for a race (SPEC section 11).
     */
    private static void linkNew(Path file, Path name) throws IOException {
        try {
            Files.createLink(name, file);
        } catch (FileAlreadyExistsException | NoSuchFileException | AccessDeniedException told) {
            throw told;
        } catch (UnsupportedOperationException | FileSystemException none) {
            if (exists(name)) {
                throw new FileAlreadyExistsException(name.toString());
            }
            Files.move(file, name, StandardCopyOption.ATOMIC_MOVE);
        }
    }

    /** Makes new names in a directory durable, where the system can. */
    private static void sync(Path directory) {
        try (FileChannel open = FileChannel.open(directory, StandardOpenOption.READ)) {
            open.force(true);
        } catch (IOException cannot) {
            return; // Windows opens no directories
        }
    }

    private static String mintId() {
        DateTimeFormatter form = DateTimeFormatter.ofPattern("yyyyMMdd't'HHmmss-").withZone(ZoneOffset.UTC);
        return form.format(Instant.now()) + random();
    }

    private static String random() {
        byte[] bits = new byte[6];
        RANDOM.nextBytes(bits);
        StringBuilder hex = new StringBuilder();
        for (byte each : bits) {
            hex.append(String.format("%02x", each));
        }
        return hex.toString();
    }

    /**
     * What Java knows of the system by way of its locale only, byte for byte: in the locale C it replaces whatever is
     * not ASCII in arguments, in the environment and in paths. Linux tells in /proc; a URI makes any bytes a path.
     * Elsewhere it is as Java has it.
     */
    private static final class Raw {
        private static final Path SELF = Path.of("/proc/self");
        private static final boolean EXACT = Files.isReadable(SELF.resolve("cmdline"));

        static List<byte[]> arguments(String[] decoded) throws IOException {
            List<byte[]> all = new ArrayList<>();
            if (EXACT) {
                all = split(Files.readAllBytes(SELF.resolve("cmdline")));
            }
            if (all.size() <= decoded.length) { // the rest is the command line of the virtual machine
                return Arrays.stream(decoded).map(each -> each.getBytes(StandardCharsets.UTF_8)).toList();
            }
            return all.subList(all.size() - decoded.length, all.size());
        }

        static byte[] environment(String name) throws IOException {
            String prefix = name + "=";
            if (EXACT) {
                for (byte[] entry : split(Files.readAllBytes(SELF.resolve("environ")))) {
                    if (new String(entry, StandardCharsets.ISO_8859_1).startsWith(prefix)) {
                        return Arrays.copyOfRange(entry, prefix.length(), entry.length);
                    }
                }
                return new byte[0];
            }
            String value = System.getenv(name);
            return value == null ? new byte[0] : value.getBytes(StandardCharsets.UTF_8);
        }

        private static List<byte[]> split(byte[] data) {
            List<byte[]> parts = new ArrayList<>();
            for (int start = 0, end = 0; end < data.length; end++) {
                if (data[end] == 0) {
                    parts.add(Arrays.copyOfRange(data, start, end));
                    start = end + 1;
                }
            }
            return parts;
        }

        static Path directory() throws IOException {
            return EXACT ? Files.readSymbolicLink(SELF.resolve("cwd")) : Path.of("").toAbsolutePath();
        }

        static Path absolute(Path path) throws IOException {
            return path.isAbsolute() ? path : directory().resolve(path);
        }

        /** Returns the path of these bytes, which is absolute. */
        static Path path(byte[] name) throws IOException {
            if (!EXACT) {
                return absolute(Path.of(new String(name, StandardCharsets.UTF_8)));
            }
            StringBuilder uri = new StringBuilder(name.length > 0 && name[0] == '/' ? "file://" : directoryUri());
            int last = 0;
            for (byte each : name) {
                if (each == '/' && last == '/') {
                    continue;
                }
                boolean plain = each >= '0' && each <= '9' || each >= 'a' && each <= 'z' || each == '/' || each == '.';
                uri.append(plain ? String.valueOf((char) each) : String.format("%%%02X", each));
                last = each;
            }
            return Path.of(URI.create(uri.toString()));
        }

        private static String directoryUri() throws IOException {
            String uri = directory().toUri().toString();
            return uri.endsWith("/") ? uri : uri + "/";
        }

        static byte[] bytes(Path path) {
            if (!EXACT) {
                return path.toString().getBytes(StandardCharsets.UTF_8);
            }
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            String uri = path.toUri().getRawPath();
            for (int at = 0; at < uri.length(); at++) {
                if (uri.charAt(at) == '%') {
                    bytes.write(Integer.parseInt(uri.substring(at + 1, at + 3), 16));
                    at += 2;
                } else {
                    bytes.write(uri.charAt(at));
                }
            }
            return bytes.toByteArray();
        }

        /** Decodes UTF-8; each byte that is none becomes U+FFFD. */
        static String text(byte[] data) {
            var decoder = StandardCharsets.UTF_8.newDecoder();
            ByteBuffer from = ByteBuffer.wrap(data);
            CharBuffer into = CharBuffer.allocate(data.length + 1);
            while (true) {
                var result = decoder.decode(from, into, true);
                if (!result.isError()) {
                    return into.flip().toString();
                }
                for (int left = result.length(); left > 0; left--) {
                    from.get();
                    into.put('\uFFFD');
                }
            }
        }

        /** Says whether Linux knows of an exclusive flock on a file; without /proc/locks, as if there were none. */
        static boolean isLocked(Path path) {
            try {
                long device = (Long) Files.getAttribute(path, "unix:dev");
                long major = device >> 8 & 0xfff | device >> 32 & ~0xfffL;
                long minor = device & 0xff | device >> 12 & ~0xffL;
                String file = String.format(" %02x:%02x:%s ", major, minor, Files.getAttribute(path, "unix:ino"));
                try (Stream<String> lines = Files.lines(Path.of("/proc/locks"), StandardCharsets.US_ASCII)) {
                    return lines.anyMatch(line ->
                            line.contains(" FLOCK ") && line.contains(" WRITE ") && line.contains(file));
                }
            } catch (IOException | UncheckedIOException | UnsupportedOperationException
                    | IllegalArgumentException none) {
                return false;
            }
        }
    }

    // --- the program -------------------------------------------------------------------------------------------------

    /** Runs a verb of adapters/CONTRACT.md. */
    public static void main(String[] args) throws IOException {
        new Program(Raw.arguments(args)).end();
    }

    private static final class Program {
        private static final String HELP = """
            submit [ID] <MESSAGE                offers a message, prints its id        73 the name is taken
            claim AGENT [QUEUE]                 takes a task, prints its path          75 none, or unfinished work
            keep PATH                           renews the lease                       66 gone: stop
            finish PATH [OUTPUT.json | -]       gives the result (absent: null)        66 gone, 65 empty
            fail PATH [CODE] MESSAGE [--retry]  gives an error as the result           66 gone
            give-back PATH                      lets somebody else do it               66 gone
            note PATH TEXT                      a line for people; renews the lease    66 gone
            wait ID [SECONDS]                   prints the record's or reason's path   0 done, 1 not, 124 time is up
            hold PATH CMD...                    keeps the lease fresh while CMD runs   CMD's; 66 gone, 75 held
            work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]    claims tasks and runs CMD for each
            Also 2 usage, 66 no root, 73 cannot write. The root is $TASKDIR, else a parent that holds taskdir.json.
            """;
        private static final Duration KILL_PATIENCE = Duration.ofSeconds(5);

        private final List<byte[]> raw;
        private final List<String> words;
        private final CountDownLatch over = new CountDownLatch(1);
        private volatile int code;

        Program(List<byte[]> arguments) {
            raw = arguments;
            words = arguments.stream().map(Raw::text).toList();
        }

        /** Runs the verb and ends the process. */
        void end() {
            try {
                code = run();
            } catch (Problem problem) {
                say(problem.getMessage());
                code = problem.exitCode;
            } catch (IOException failed) {
                say(failed.toString());
                code = 73;
            } catch (InterruptedException never) {
                code = 73;
            }
            over.countDown();
            System.exit(code);
        }

        private int run() throws IOException, InterruptedException {
            switch (words.isEmpty() ? "help" : words.get(0)) {
                case "submit": return submit();
                case "claim": return claim();
                case "keep": count(1, 1, "keep PATH"); claimed().keep(); return 0;
                case "finish": return finish();
                case "fail": return fail();
                case "give-back": count(1, 1, "give-back PATH"); claimed().giveBack(); return 0;
                case "note": count(2, 2, "note PATH TEXT"); claimed().note(words.get(2)); return 0;
                case "wait": return waitFor();
                case "hold": return hold();
                case "work": return work();
                case "help", "-h", "--help": print(HELP.getBytes(StandardCharsets.UTF_8)); return 0;
                default: throw new Problem(2, "no such verb: " + words.get(0) + " (see help)");
            }
        }

        private int submit() throws IOException {
            count(0, 1, "submit [ID] <MESSAGE");
            if (words.size() > 1) {
                wantWord("not an id", words.get(1));
            }
            Taskdir root = find();
            byte[] message = System.in.readAllBytes();
            String id = words.size() > 1 ? words.get(1) : mintId();
            root.submit(id, message);
            print((id + "\n").getBytes(StandardCharsets.US_ASCII));
            return 0;
        }

        private int claim() throws IOException {
            count(1, 2, "claim AGENT [QUEUE]");
            String queue = words.size() > 2 ? words.get(2) : "default";
            wantQueue(words.get(1), queue);
            try {
                Optional<Claim> claim = find().claim(words.get(1), queue);
                if (claim.isPresent()) {
                    print(Raw.bytes(claim.get().path), new byte[] {'\n'});
                    return 0;
                }
                throw new Problem(75, "nothing to claim in ready/" + queue + ", or benched for a while");
            } catch (Unfinished work) {
                for (Claim each : work.claims) { // whatever bytes the path has
                    print(System.err, "taskdir: unfinished, resume or delete it: ".getBytes(StandardCharsets.US_ASCII),
                            Raw.bytes(each.path), new byte[] {'\n'});
                }
                return 75;
            }
        }

        private int finish() throws IOException {
            count(1, 2, "finish PATH [OUTPUT.json | -]");
            byte[] output = {'n', 'u', 'l', 'l'};
            try {
                claimed();
            } catch (Gone later) {
                // It is told after what is wrong with the output.
            }
            if (words.size() > 2 && words.get(2).equals("-")) {
                output = System.in.readAllBytes();
            } else if (words.size() > 2) {
                try {
                    output = Files.readAllBytes(Raw.path(raw.get(2)));
                } catch (IOException absent) {
                    throw new Problem(66, "no output: " + absent);
                }
            }
            if (blank(output)) {
                throw new Problem(65, "the output is empty");
            }
            claimed().finish(output); // looked at again: the claim may be gone meanwhile
            return 0;
        }

        private int fail() throws IOException {
            String how = "fail PATH [CODE] MESSAGE [--retry]";
            boolean retry = words.size() > 3 && words.get(words.size() - 1).equals("--retry");
            List<String> said = words.subList(1, words.size() - (retry ? 1 : 0));
            String message = said.isEmpty() ? "" : said.get(said.size() - 1);
            if (said.size() < 2 || said.size() > 3 || message.isEmpty() || message.equals("--retry")) {
                throw new Problem(2, "usage: " + how);
            }
            String code = said.size() > 2 ? said.get(1) : "";
            if (said.size() > 2) {
                wantWord("not a code", code);
            }
            claimed().fail(code, message, retry);
            return 0;
        }

        private int waitFor() throws IOException, InterruptedException {
            count(1, 2, "wait ID [SECONDS]");
            Duration patience = words.size() > 2 ? Duration.ofSeconds(number(words.get(2))) : null;
            wantWord("not an id", words.get(1));
            Optional<Outcome> outcome = find().waitFor(words.get(1), patience);
            if (outcome.isEmpty()) {
                throw new Problem(124, words.get(1) + " has not ended");
            }
            print(Raw.bytes(outcome.get().path), new byte[] {'\n'});
            return outcome.get().place.equals("done") ? 0 : 1;
        }

        private int hold() throws IOException, InterruptedException {
            count(2, Integer.MAX_VALUE, "hold PATH CMD...");
            Hold hold = claimed().hold();
            try {
                CompletableFuture<Process> started = new CompletableFuture<>();
                whenToldToEnd(() -> started.thenAccept(Process::destroy)); // SIGTERM is passed on, be it early
                started.complete(command(raw.subList(2, raw.size()), Map.of()).inheritIO().start());
                return started.join().waitFor();
            } catch (IOException failed) {
                say(failed.getMessage());
                return startCode(failed);
            } finally {
                hold.close();
            }
        }

        private int work() throws IOException {
            String how = "work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]";
            List<String> named = new ArrayList<>();
            int tasks = Integer.MAX_VALUE;
            Duration idle = null;
            RawHandler handler = Claim::bytes;
            for (int at = 1; at < words.size(); at++) {
                String word = words.get(at);
                if (!word.startsWith("-")) {
                    named.add(word);
                } else if (at + 1 == words.size()) {
                    throw new Problem(2, "usage: " + how);
                } else if (word.equals("--")) {
                    List<byte[]> argv = raw.subList(at + 1, raw.size());
                    handler = claim -> runFor(claim, argv);
                    break;
                } else if (word.equals("--tasks") && number(words.get(at + 1)) > 0) {
                    tasks = number(words.get(++at));
                } else if (word.equals("--idle")) {
                    idle = Duration.ofSeconds(number(words.get(++at)));
                } else {
                    throw new Problem(2, "usage: " + how);
                }
            }
            if (named.isEmpty() || named.size() > 2) {
                throw new Problem(2, "usage: " + how);
            }
            String queue = named.size() > 1 ? named.get(1) : "default";
            wantQueue(named.get(0), queue);
            Worker worker = find().worker(named.get(0)).queue(queue).tasks(tasks).idle(idle).log(this::say);
            whenToldToEnd(worker::stop);
            worker.work(handler);
            return 0;
        }

        /** Runs a command for a task: the claimed file is its stdin, its stdout the output. */
        private byte[] runFor(Claim claim, List<byte[]> argv) throws Exception {
            // Files and no pipes: what the command leaves running in the background must not hold up its result.
            Path in = Files.createTempFile("taskdir-", ".in");
            Path out = Files.createTempFile("taskdir-", ".out");
            try {
                Files.write(in, claim.bytes());
                ProcessBuilder builder = command(argv, Map.of("TASKDIR_TASK", Raw.bytes(claim.path),
                        "TASKDIR_ID", claim.id.getBytes(StandardCharsets.US_ASCII),
                        "TASKDIR_ATTEMPT", String.valueOf(claim.attempt).getBytes(StandardCharsets.US_ASCII)));
                builder.redirectInput(in.toFile()).redirectOutput(out.toFile());
                builder.redirectError(ProcessBuilder.Redirect.INHERIT);
                Process process;
                try {
                    process = builder.start();
                } catch (IOException failed) {
                    throw new Failure("exit-" + startCode(failed), failed.getMessage(), true);
                }
                int code = 0;
                try {
                    code = process.waitFor();
                } catch (InterruptedException lost) {
                    terminate(process);
                    throw lost;
                }
                String name = Raw.text(argv.get(0));
                if (code == 75) {
                    throw new GiveBack();
                } else if (code > 128 && code <= 128 + 64) { // Java does not tell one from the other
                    throw new Failure("signal-" + (code - 128), name + " was ended by signal " + (code - 128), true);
                } else if (code != 0) {
                    throw new Failure("exit-" + code, name + " ended with exit code " + code, true);
                }
                return Files.readAllBytes(out);
            } finally {
                Files.deleteIfExists(in);
                Files.deleteIfExists(out);
            }
        }

        /** Asks a command and all that it started to end, and ends what does not. */
        private static void terminate(Process process) throws InterruptedException {
            List<ProcessHandle> all = Stream.concat(Stream.of(process.toHandle()), process.descendants()).toList();
            all.forEach(ProcessHandle::destroy);
            if (!process.waitFor(KILL_PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
                all.forEach(ProcessHandle::destroyForcibly);
                process.waitFor();
            }
        }

        /**
         * Makes a command of any bytes. Java passes on what its locale can say; the rest is said in ASCII to a shell,
         * which then becomes the command.
         */
        private static ProcessBuilder command(List<byte[]> argv, Map<String, byte[]> environment) {
            boolean plain = Stream.concat(argv.stream(), environment.values().stream()).allMatch(Program::isAscii);
            if (plain || !Raw.EXACT) {
                ProcessBuilder builder = new ProcessBuilder(argv.stream().map(Raw::text).toList());
                environment.forEach((name, value) -> builder.environment().put(name, Raw.text(value)));
                return builder;
            }
            StringBuilder script = new StringBuilder("set --\n");
            argv.forEach(word -> script.append("v=").append(octal(word)).append(" && set -- \"$@\" \"${v%.}\"\n"));
            environment.forEach((name, value) ->
                    script.append("v=").append(octal(value)).append(" && export ").append(name + "=\"${v%.}\"\n"));
            return new ProcessBuilder("/bin/sh", "-c", script + "unset v\nexec \"$@\"");
        }

        private static boolean isAscii(byte[] data) {
            for (byte each : data) {
                if (each < 0) {
                    return false;
                }
            }
            return true;
        }

        /** Returns shell words for bytes and a dot, which keeps newlines at the end from being cut off. */
        private static String octal(byte[] data) {
            StringBuilder word = new StringBuilder("$(printf '");
            for (byte each : data) {
                word.append(String.format("\\%03o", each & 0xff));
            }
            return word.append(".')").toString();
        }

        private static int startCode(IOException failed) {
            return String.valueOf(failed.getMessage()).contains("error=2,") ? 127 : 126; // as a shell says it
        }

        /** Has SIGTERM, SIGINT and SIGHUP do this, and the process end with the verb's exit code once that is over. */
        private void whenToldToEnd(Runnable what) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                what.run();
                try {
                    over.await();
                } catch (InterruptedException never) {
                    code = 73;
                }
                Runtime.getRuntime().halt(code);
            }));
        }

        private Claim claimed() throws IOException {
            return claimOf(Raw.path(raw.get(1)));
        }

        private void count(int least, int most, String how) throws Problem {
            if (words.size() - 1 < least || words.size() - 1 > most) {
                throw new Problem(2, "usage: " + how);
            }
        }

        private static int number(String text) throws Problem {
            if (!text.matches("[0-9]{1,9}")) {
                throw new Problem(2, "not a number: " + text);
            }
            return Integer.parseInt(text);
        }

        private static void print(byte[]... parts) throws IOException {
            print(System.out, parts);
            if (System.out.checkError()) {
                throw new IOException("cannot write to stdout");
            }
        }

        private static void print(PrintStream to, byte[]... parts) {
            for (byte[] part : parts) {
                to.writeBytes(part);
            }
            to.flush();
        }

        private void say(String words) {
            String line = "taskdir: " + words.replace("\n", "\ntaskdir: ") + "\n";
            print(System.err, line.getBytes(StandardCharsets.UTF_8));
        }
    }
}

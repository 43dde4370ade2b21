import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;

/** The tests of Taskdir.java, each on a root of its own: {@code javac -d OUT *.java; java -ea -cp OUT TaskdirTest}. */
public final class TaskdirTest {
    private static final List<String> BAD_WORDS = List.of("", "-x", "_x", "Ab", "a.b", "a b", "a/b", "..", "\u00e9",
            "x".repeat(65), "a\n", "*", "@a");
    private static final List<String> TASKDIR = List.of(System.getProperty("java.home") + "/bin/java", "-Xint",
            "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp", System.getProperty("java.class.path"), "Taskdir");
    private static final String ERROR = "{\"status\":\"error\",\"error\":{\"code\":";
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private final Path base = Files.createTempDirectory("taskdir-test-").toRealPath();
    private final Path root = base.resolve("a root  with spaces");
    private final Taskdir td;

    private TaskdirTest() throws IOException {
        for (String place : List.of("inbox", "ready/default", "claimed/me", "done", "failed", "rejected")) {
            Files.createDirectories(root.resolve(place));
        }
        put("taskdir.json", "{\"protocol\": 1}");
        td = Taskdir.open(root);
    }

    public static void main(String[] names) throws Exception {
        boolean enabled = false;
        assert enabled = true;
        if (!enabled) {
            throw new IllegalStateException("without -ea nothing is tested");
        }
        int passed = 0;
        int failed = 0;
        Set<String> wanted = Set.of(names);
        List<Method> tests = Arrays.stream(TaskdirTest.class.getDeclaredMethods())
                .filter(each -> each.getName().startsWith("test"))
                .filter(each -> wanted.isEmpty() || wanted.contains(each.getName()))
                .sorted(Comparator.comparing(Method::getName)).toList();
        for (Method test : tests) {
            TaskdirTest fresh = new TaskdirTest();
            try {
                test.invoke(fresh);
                passed++;
            } catch (InvocationTargetException thrown) {
                failed++;
                System.out.println("FAILED " + test.getName());
                thrown.getCause().printStackTrace(System.out);
            } finally {
                fresh.remove();
            }
        }
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed > 0 || passed == 0 ? 1 : 0);
    }

    // --- what the tests stand on -------------------------------------------------------------------------------------

    private void remove() throws IOException {
        try (Stream<Path> all = Files.walk(base)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }

    private Path put(String name, String text) throws IOException {
        Files.createDirectories(root.resolve(name).getParent());
        return Files.writeString(root.resolve(name), text);
    }

    private static String offerName(int number) {
        return String.format("5-%012d.t%d.1.json", number, number);
    }

    private Path offer(String place, int number) throws IOException {
        String text = "{\"id\": \"t" + number + "\", \"input\": {}, \"lease_seconds\": 3}\n";
        return put(place + "/" + offerName(number), text);
    }

    private Taskdir.Claim claimed(int number) throws IOException {
        return Taskdir.claimOf(offer("claimed/me", number));
    }

    private List<String> tree() throws IOException {
        try (Stream<Path> all = Files.walk(root)) {
            return all.filter(each -> !Files.isDirectory(each)).map(each -> root.relativize(each).toString())
                    .filter(each -> !each.equals("taskdir.json")).sorted().toList();
        }
    }

    private String result(int number) throws IOException {
        Path path = root.resolve("claimed/me/" + offerName(number).replace(".json", ".result.json"));
        return Files.exists(path) ? Files.readString(path).stripTrailing() : null;
    }

    private static void same(Object wanted, Object got) {
        assert wanted == null ? got == null : wanted.equals(got) : "wanted " + wanted + ", got " + got;
    }

    private interface Act {
        void run() throws Exception;
    }

    private static <T extends Exception> T thrown(Class<T> kind, Act act) throws Exception {
        try {
            act.run();
        } catch (Exception error) {
            if (kind.isInstance(error)) {
                return kind.cast(error);
            }
            throw error;
        }
        throw new AssertionError("no " + kind.getSimpleName());
    }

    private interface Fact {
        boolean holds() throws Exception;
    }

    private static void until(String what, Fact fact) throws Exception {
        for (long start = System.nanoTime(); !fact.holds(); Thread.sleep(2)) {
            assert System.nanoTime() - start < PATIENCE.toNanos() : "waited in vain for " + what;
        }
    }

    private Process program(String... words) throws IOException {
        List<String> command = new ArrayList<>(TASKDIR);
        command.addAll(List.of(words));
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
        builder.environment().put("TASKDIR", root.toString());
        return builder.start();
    }

    // --- submit, claim, wait -----------------------------------------------------------------------------------------

    void testBadNamesAreRefusedEverywhere() throws Exception {
        Taskdir.Claim claim = claimed(1);
        List<String> before = tree();
        for (String word : BAD_WORDS) {
            thrown(Taskdir.BadName.class, () -> td.submit(word, "{}".getBytes(StandardCharsets.UTF_8)));
            thrown(Taskdir.BadName.class, () -> td.claim(word));
            thrown(Taskdir.BadName.class, () -> td.claim("me", word));
            thrown(Taskdir.BadName.class, () -> td.unfinished(word));
            thrown(Taskdir.BadName.class, () -> td.waitFor(word, Duration.ZERO));
            if (!word.isEmpty()) {
                thrown(Taskdir.BadName.class, () -> claim.fail(word, "m", false));
            }
        }
        for (String name : List.of("5-1.t.1.json", "5-000000000001.t.01.json", "5-000000000001.t1.1.result.json",
                "5-000000000001.T.1.json", "5-000000000001.t.1234567890.json", "x")) {
            thrown(Taskdir.BadName.class, () -> Taskdir.claimOf(root.resolve("claimed/me/" + name)));
        }
        same(before, tree());
        thrown(Taskdir.BadName.class, () -> Taskdir.claimOf(offer("ready/default", 2)));
    }

    void testTheRootHasAMarker() throws Exception {
        same(root, Taskdir.open(root.resolve("claimed/..")).path());
        thrown(Taskdir.Problem.class, () -> Taskdir.open(root.resolve("claimed")));
        thrown(Taskdir.Problem.class, () -> Taskdir.open(root.resolve("absent")));
    }

    void testSubmitNeverReplaces() throws Exception {
        put("inbox/file.json", "first");
        Files.createDirectory(root.resolve("inbox/dir.json"));
        Files.createSymbolicLink(root.resolve("inbox/link.json"), Path.of("nowhere"));
        List<String> before = tree();
        for (String id : List.of("file", "dir", "link")) {
            thrown(Taskdir.Taken.class, () -> td.submit(id, new byte[] {'1'}));
        }
        thrown(Taskdir.Problem.class, () -> td.submit("empty", new byte[0]));
        same(before, tree());
        same("first", Files.readString(root.resolve("inbox/file.json")));
        byte[] odd = {(byte) 0xff, 0, '\n'};
        td.submit("odd", odd);
        assert Arrays.equals(odd, Files.readAllBytes(root.resolve("inbox/odd.json")));
        String id = td.submit("{\"text\": \"\u00e9\"}");
        same("{\"text\": \"\u00e9\"}", Files.readString(root.resolve("inbox/" + id + ".json")));
    }

    void testOfManySubmittersOfOneNameOneWins() throws Exception {
        AtomicInteger won = new AtomicInteger();
        race(8, number -> {
            for (String id : List.of("a", "b", "c")) {
                try {
                    td.submit(id, new byte[] {'1'});
                    won.incrementAndGet();
                } catch (Taskdir.Taken other) {
                    assert Files.exists(root.resolve("inbox/" + id + ".json"));
                }
            }
        });
        same(3, won.get());
        same(List.of("inbox/a.json", "inbox/b.json", "inbox/c.json"), tree());
    }

    void testTenAgentsClaimEachOfferOnce() throws Exception {
        for (int number = 1; number <= 100; number++) {
            offer("ready/default", number);
        }
        Map<String, Integer> won = new ConcurrentHashMap<>();
        race(10, number -> {
            for (var claim = td.claim("agent" + number); claim.isPresent(); claim = td.claim("agent" + number)) {
                won.merge(claim.get().id(), 1, Integer::sum);
                claim.get().giveBack();
            }
        });
        same(100, won.size());
        same(Set.of(1), Set.copyOf(won.values()));
    }

    private interface Racer {
        void run(int number) throws Exception;
    }

    private static void race(int many, Racer racer) throws Exception {
        Map<Integer, Throwable> failed = new ConcurrentHashMap<>();
        List<Thread> threads = new ArrayList<>();
        for (int number = 0; number < many; number++) {
            int mine = number;
            threads.add(new Thread(() -> {
                try {
                    racer.run(mine);
                } catch (Throwable error) {
                    failed.put(mine, error);
                }
            }));
        }
        threads.forEach(Thread::start);
        for (Thread thread : threads) {
            thread.join();
        }
        same(Map.of(), failed);
    }

    void testClaimTakesTheFirstNameInByteOrder() throws Exception {
        for (String stranger : List.of("README", ".5-000000000001.t.1.json", "5-1.t.1.json", "0-0.t.1.json")) {
            put("ready/default/" + stranger, "{}");
        }
        Files.createDirectory(root.resolve("ready/default/0-000000000001.dir.1.json"));
        Files.createSymbolicLink(root.resolve("ready/default/0-000000000001.link.1.json"), Path.of("README"));
        List<String> strangers = tree();
        offer("ready/default", 11);
        offer("ready/default", 2);
        put("ready/default/0-000000000099.now.7.json", "{}");
        for (String id : List.of("now", "t2", "t11")) {
            Taskdir.Claim claim = td.claim("a-" + id).orElseThrow();
            same(id, claim.id());
            same(root.resolve("claimed/a-" + id), claim.path().getParent());
            same(id.equals("now") ? 7 : 1, claim.attempt());
            claim.giveBack();
        }
        assert td.claim("me").isEmpty() && td.claim("me", "absent").isEmpty();
        same(strangers, tree());
    }

    void testTheQueueOfAnAgentIsForThatAgentAlone() throws Exception {
        offer("ready/@me", 1);
        thrown(Taskdir.BadName.class, () -> td.claim("you", "@me"));
        same("t1", td.claim("me", "@me").orElseThrow().id());
    }

    void testUnfinishedWorkComesFirst() throws Exception {
        Taskdir.Claim claim = claimed(1);
        offer("ready/default", 2);
        same(List.of(claim), thrown(Taskdir.Unfinished.class, () -> td.claim("me")).claims());
        claim.finish("1"); // now it waits for its verdict only
        same("t2", td.claim("me").orElseThrow().id());
    }

    void testABenchedAgentClaimsNothing() throws Exception {
        offer("ready/default", 1);
        List<String> before = tree();
        Files.setPosixFilePermissions(root.resolve("claimed/me"), PosixFilePermissions.fromString("r-xr-xr-x"));
        assert td.claim("me").isEmpty();
        Files.setPosixFilePermissions(root.resolve("claimed/me"), PosixFilePermissions.fromString("rwxr-xr-x"));
        same(before, tree());
        assert td.claim("me").isPresent();
    }

    void testWaitSeesHowAMessageEnded() throws Exception {
        Map<String, String> ends = new TreeMap<>(Map.of("done/a.json", "done", "failed/b.json", "failed",
                "rejected/c.json rejected/c.reason.json", "rejected", "rejected/d.json", "",
                "inbox/e.json rejected/e.reason.json", "", "inbox/f.json", ""));
        for (Map.Entry<String, String> end : ends.entrySet()) {
            for (String name : end.getKey().split(" ")) {
                put(name, "{}");
            }
            String id = end.getKey().replaceAll("^.*/([a-f])\\..*$", "$1");
            same(end.getValue(), td.waitFor(id, Duration.ZERO).map(Taskdir.Outcome::place).orElse(""));
        }
        Thread later = new Thread(() -> {
            try {
                put("done/x.json", "{}");
            } catch (IOException error) {
                throw new AssertionError(error);
            }
        });
        later.start();
        same(root.resolve("done/x.json"), td.waitFor("x", null).orElseThrow().path());
        later.join();
    }

    // --- a claim -----------------------------------------------------------------------------------------------------

    void testAGoneClaimIsLeftAlone() throws Exception {
        Taskdir.Claim claim = claimed(1);
        claim.giveBack();
        for (Act act : List.<Act>of(claim::keep, claim::text, claim::giveBack, claim::hold, () -> claim.note("x"),
                () -> claim.finish("1"), () -> claim.fail("", "x", false), () -> Taskdir.claimOf(claim.path()),
                () -> Taskdir.claimOf(root.resolve("claimed/nobody/" + offerName(1))))) {
            thrown(Taskdir.Gone.class, act);
        }
        claim.close();
        same(List.of(), tree());
    }

    void testWhatFinishWrites() throws Exception {
        Taskdir.Claim claim = claimed(1);
        thrown(Taskdir.Problem.class, () -> claim.finish(" \n\t"));
        same(null, result(1));
        claim.finish("{\"n\": 1.50, \"t\": \"\u00e9\ud83d\ude00\"}");
        same("{\"status\":\"ok\",\"output\":{\"n\": 1.50, \"t\": \"\u00e9\ud83d\ude00\"}}", result(1));
        claim.finish(new byte[] {'n', 'o', (byte) 0xff});
        byte[] got = Files.readAllBytes(root.resolve("claimed/me/5-000000000001.t1.1.result.json"));
        assert got[got.length - 3] == (byte) 0xff && got[got.length - 4] == 'o';
        same(List.of("claimed/me/5-000000000001.t1.1.json", "claimed/me/5-000000000001.t1.1.result.json"), tree());
    }

    void testWhatFailWrites() throws Exception {
        Taskdir.Claim claim = claimed(1);
        claim.fail("", "no luck", false);
        same("{\"status\":\"error\",\"error\":{\"message\":\"no luck\"}}", result(1));
        claim.fail("bad-luck", "\u0001\"\\\n<\u00e9\ud83d\ude00\ud800!", true);
        same("{\"status\":\"error\",\"error\":{\"code\":\"bad-luck\",\"message\":"
                + "\"\\u0001\\\"\\\\\\u000a<\u00e9\ud83d\ude00\ufffd!\"},\"retry\":true}", result(1));
        claim.fail("", null, false);
        same("{\"status\":\"error\",\"error\":{\"message\":\"no message\"}}", result(1));
        claim.fail("", "\ud83d\ude00".repeat(9000), false);
        same("{\"status\":\"error\",\"error\":{\"message\":\"" + "\ud83d\ude00".repeat(8192) + "\"}}", result(1));
    }

    void testBytesThatAreNoUtf8BecomeReplacements() throws Exception {
        claimed(1);
        String odd = "exec \"$@\" \"$(printf 'a\\377\\342\\202b\\303\\251')\"";
        List<String> command = new ArrayList<>(List.of("sh", "-c", odd, "sh"));
        command.addAll(TASKDIR);
        command.addAll(List.of("fail", root.resolve("claimed/me/" + offerName(1)).toString()));
        for (String locale : List.of("C", "C.UTF-8")) {
            ProcessBuilder builder = new ProcessBuilder(command).inheritIO();
            builder.environment().put("LC_ALL", locale);
            same(0, builder.start().waitFor());
            same("{\"status\":\"error\",\"error\":{\"message\":\"a\ufffd\ufffd\ufffdb\u00e9\"}}", result(1));
            Files.delete(root.resolve("claimed/me/5-000000000001.t1.1.result.json"));
        }
    }

    void testNotesAreAppended() throws Exception {
        Taskdir.Claim claim = claimed(1);
        claim.note("half \"way\"\n");
        claim.note("then");
        List<String> lines = Files.readAllLines(root.resolve("claimed/me/5-000000000001.t1.1.notes.jsonl"));
        same(2, lines.size());
        String form = "\\{\"time\":\"\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ\",\"text\":\"(half .*|then)\"\\}";
        assert lines.stream().allMatch(each -> each.matches(form)) : lines;
        assert lines.get(0).endsWith("\"half \\\"way\\\"\\u000a\"}") : lines;
    }

    void testClosingAnUnfinishedClaimFailsIt() throws Exception {
        Taskdir.Claim claim = claimed(1);
        claim.close();
        same(ERROR + "\"unfinished\",\"message\":\"the work ended without a result\"},\"retry\":true}", result(1));
        offer("ready/default", 2);
        try (Taskdir.Claim next = td.claim("me").orElseThrow()) {
            next.finish("2");
        }
        same("{\"status\":\"ok\",\"output\":2}", result(2));
    }

    // --- holding and working -----------------------------------------------------------------------------------------

    void testAHoldRenews() throws Exception {
        Taskdir.Claim claim = claimed(1);
        Files.setLastModifiedTime(claim.path(), FileTime.fromMillis(1000));
        try (Taskdir.Hold hold = claim.hold()) {
            until("the first touch", () -> Files.getLastModifiedTime(claim.path()).toMillis() != 1000);
            Files.setLastModifiedTime(claim.path(), FileTime.fromMillis(1000));
            until("the next one", () -> Files.getLastModifiedTime(claim.path()).toMillis() != 1000);
            assert !hold.lost();
            claim.giveBack();
            until("its end", hold::lost);
        }
        same(List.of(), tree());
    }

    void testTheSmallestLeaseCounts() {
        same(Duration.ofSeconds(90), Taskdir.Hold.lease("{\"input\":{\"lease_seconds\" : 600},\"lease_seconds\":90}"));
        same(Duration.ofSeconds(3), Taskdir.Hold.lease("{}"));
        same(Duration.ofSeconds(1), Taskdir.Hold.lease("{\"lease_seconds\": 0}"));
    }

    void testWhatAnotherProcessHoldsIsLetBe() throws Exception {
        Taskdir.Claim claim = claimed(1);
        Process other;
        try {
            other = new ProcessBuilder("flock", claim.path().toString(), "sh", "-c", "echo on; read x").start();
        } catch (IOException none) {
            System.out.println("NOT TESTED: a lock of another process; this machine has no flock(1)");
            return;
        }
        same("on", other.inputReader().readLine());
        thrown(Taskdir.Held.class, claim::hold);
        td.worker("me").idle(Duration.ZERO).run(each -> "\"two do it at once\"");
        same(null, result(1));
        other.getOutputStream().close();
        other.waitFor();
        claim.hold().close();
    }

    void testAWorkerHandsInWhatTheHandlerMakes() throws Exception {
        for (int number = 2; number <= 6; number++) {
            offer("ready/default", number);
        }
        claimed(1); // it resumes this first
        List<String> did = new ArrayList<>();
        td.worker("me").idle(Duration.ZERO).run(claim -> {
            did.add(claim.id());
            switch (claim.id()) {
                case "t1": return Taskdir.quote(claim.id());
                case "t2": return null;
                case "t3": throw new Taskdir.Failure("no-disk", "full", false);
                case "t4": throw new IllegalStateException("oh");
                case "t5": throw new Taskdir.GiveBack();
                default: claim.finish("\"its own\""); return "2";
            }
        });
        same("t1 t2 t3 t4 t5 t6", String.join(" ", did));
        same("{\"status\":\"ok\",\"output\":\"t1\"}", result(1));
        same("{\"status\":\"ok\",\"output\":null}", result(2));
        same(ERROR + "\"no-disk\",\"message\":\"full\"}}", result(3));
        same(ERROR + "\"error\",\"message\":\"java.lang.IllegalStateException: oh\"},\"retry\":true}", result(4));
        assert !tree().toString().contains(".t5.");
        same("{\"status\":\"ok\",\"output\":\"its own\"}", result(6));
    }

    void testAWorkerFailsWhatWasRefused() throws Exception {
        claimed(1);
        put("claimed/me/5-000000000001.t1.1.refused.json", "{}");
        td.worker("me").idle(Duration.ZERO).run(claim -> "\"it was run again\"");
        same(ERROR + "\"refused\",\"message\":\"the result was refused\"},\"retry\":true}", result(1));
    }

    void testALostClaimInterruptsTheHandlerAndNothingIsHandedIn() throws Exception {
        offer("ready/default", 1);
        offer("ready/default", 2);
        AtomicInteger interrupted = new AtomicInteger();
        td.worker("me").tasks(2).run(claim -> {
            if (claim.id().equals("t1")) {
                claim.giveBack();
                try {
                    Thread.sleep(PATIENCE.toMillis());
                } catch (InterruptedException lost) {
                    interrupted.incrementAndGet();
                }
            }
            return "3";
        });
        same(1, interrupted.get());
        assert !Thread.currentThread().isInterrupted();
        same("{\"status\":\"ok\",\"output\":3}", result(2));
        assert !tree().toString().contains(".t1.") : tree();
    }

    void testStopAndInterruptEndAWorkerAfterTheTaskInHand() throws Exception {
        for (int number = 1; number <= 3; number++) {
            offer("ready/default", number);
        }
        Taskdir.Worker worker = td.worker("me");
        worker.run(claim -> {
            worker.stop();
            return "1";
        });
        same("{\"status\":\"ok\",\"output\":1}", result(1));
        td.worker("me").run(claim -> {
            Thread.currentThread().interrupt();
            return "2";
        });
        assert Thread.interrupted();
        same("{\"status\":\"ok\",\"output\":2}", result(2));
        assert Files.exists(root.resolve("ready/default/" + offerName(3)));
    }

    void testAnErrorOfTheHandlerGoesOnAndFailsTheTask() throws Exception {
        claimed(1);
        try {
            td.worker("me").run(claim -> {
                throw new StackOverflowError();
            });
            throw new AssertionError("it was swallowed");
        } catch (StackOverflowError expected) {
            assert result(1).contains("\"unfinished\"") : result(1);
        }
    }

    void testHowACommandEndsIsHandedIn() throws Exception {
        for (int number = 1; number <= 7; number++) {
            offer("ready/default", number);
        }
        String script = """
                case $TASKDIR_ID in # of t7 something stays behind, and holds up nothing
                t1) cat ;;
                t2) echo ' ' ;;
                t3) echo 1; exit 3 ;;
                t4) kill -9 $$ ;;
                t5) exit 75 ;;
                t6) cmp -s - "$TASKDIR_TASK" && echo "$TASKDIR_ATTEMPT" ;;
                t7) while [ -d "${0%/*}" ] && [ ! -e "$0" ]; do sleep 0.02; done 2>/dev/null & echo 1 ;;
                esac
                """;
        Path off = base.resolve("off");
        same(0, program("work", "me", "--tasks", "7", "--", "sh", "-c", script, off.toString()).waitFor());
        Files.createFile(off);
        String task = Files.readString(root.resolve("claimed/me/" + offerName(1)));
        same("{\"status\":\"ok\",\"output\":" + task + "}", result(1));
        same("{\"status\":\"ok\",\"output\":null}", result(2));
        same(ERROR + "\"exit-3\",\"message\":\"sh ended with exit code 3\"},\"retry\":true}", result(3));
        same(ERROR + "\"signal-9\",\"message\":\"sh was ended by signal 9\"},\"retry\":true}", result(4));
        assert !tree().toString().contains(".t5.") : tree();
        same("{\"status\":\"ok\",\"output\":1\n}", result(6));
        same("{\"status\":\"ok\",\"output\":1\n}", result(7));
    }

    void testAWorkerOfARootThatIsGoneEndsAndMakesNothing() throws Exception {
        Path away = base.resolve("away");
        Files.move(root, away);
        thrown(IOException.class, () -> td.worker("me").run(claim -> "1"));
        assert !Files.exists(root);
    }

    void testSigtermEndsWorkAfterTheTaskInHand() throws Exception {
        offer("ready/default", 1);
        offer("ready/default", 2);
        Path on = base.resolve("on");
        Path off = base.resolve("off");
        String script = ": >\"$1\"; until [ -e \"$2\" ]; do sleep 0.02; done; echo 5";
        Process worker = program("work", "me", "--", "sh", "-c", script, "sh", on.toString(), off.toString());
        until("the command", () -> Files.exists(on));
        worker.destroy(); // SIGTERM
        Files.createFile(off);
        same(0, worker.waitFor());
        same("{\"status\":\"ok\",\"output\":5\n}", result(1));
        assert Files.exists(root.resolve("ready/default/" + offerName(2)));
    }

    void testACommandWhoseClaimVanishesIsTerminated() throws Exception {
        offer("ready/default", 1);
        Path on = base.resolve("on");
        Path told = base.resolve("told");
        String script = "trap 'echo it >\"$2\"' TERM; : >\"$1\"; sleep 60; exit 0";
        String[] words = {"work", "me", "--tasks", "1", "--", "sh", "-c", script, "sh", on.toString(), told.toString()};
        Process worker = program(words);
        until("the command", () -> Files.exists(on));
        Files.delete(root.resolve("claimed/me/" + offerName(1)));
        same(0, worker.waitFor());
        assert Files.exists(told);
        same(List.of(), tree());
    }

    void testHoldEndsAsItsCommandDoesAndPassesOnSigterm() throws Exception {
        Taskdir.Claim claim = claimed(1);
        same(7, program("hold", claim.path().toString(), "sh", "-c", "exit 7").waitFor());
        same(127, program("hold", claim.path().toString(), "/no/such/command").waitFor());
        Path on = base.resolve("on");
        String script = "trap 'exit 5' TERM; : >\"$1\"; while :; do sleep 0.02; done";
        Process holder = program("hold", claim.path().toString(), "sh", "-c", script, "sh", on.toString());
        until("the command", () -> Files.exists(on));
        holder.destroy();
        same(5, holder.waitFor());
    }
}

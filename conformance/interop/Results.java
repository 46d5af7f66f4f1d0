import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;

import org.igniterealtime.smack.inttest.FailedTest;
import org.igniterealtime.smack.inttest.SmackIntegrationTestFramework;
import org.igniterealtime.smack.inttest.SmackIntegrationTestFramework.TestRunResult;
import org.igniterealtime.smack.inttest.TestNotPossible;
import org.igniterealtime.smack.inttest.TestResult;

/** Writes the results of a run as lines of four fields (outcome, test, milliseconds, reason), separated by tabs. */
public final class Results implements SmackIntegrationTestFramework.TestRunResultProcessor {
    @Override
    public void process(TestRunResult run) {
        Path file = Path.of(System.getProperty("waxwing.results"));
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(file))) {
            run.getSuccessfulTests().forEach(test -> line(out, "passed", test, null));
            for (FailedTest test : run.getFailedTests()) {
                line(out, "failed", test, test.failureReason);
            }
            for (TestNotPossible test : run.getNotPossibleTests()) {
                line(out, "impossible", test, test.testNotPossibleException);
            }
            run.getImpossibleTestClasses().forEach((testClass, why) ->
                out.println(String.join("\t", "impossible", testClass.getSimpleName(), "0", flat(why))));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void line(PrintWriter out, String outcome, TestResult test, Throwable why) {
        Method method = test.concreteTest.getMethod();
        String name = method.getDeclaringClass().getSimpleName() + "." + method.getName();
        String on = String.join(",", test.concreteTest.getSubdescriptons());
        out.println(String.join("\t", outcome, on.isEmpty() ? name : name + " (" + on + ")", Long.toString(test.duration), flat(why)));
    }

    private static String flat(Throwable why) {
        return why == null ? "" : why.toString().replaceAll("[\\t\\r\\n]+", " ");
    }
}

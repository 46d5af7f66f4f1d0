import java.security.Security;

import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.igniterealtime.smack.inttest.SmackIntegrationTestFramework;
import org.jivesoftware.smackx.omemo.signal.SignalOmemoService;

/** Runs all integration tests, with a library for OMEMO; the suite's own class with one runs those about OMEMO only. */
public final class Suite {
    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        SignalOmemoService.acknowledgeLicense();
        SignalOmemoService.setup();
        SmackIntegrationTestFramework.main(args);
    }
}

package mlflowsso.logins;

import org.keycloak.Config;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.services.managers.BruteForceProtector;
import org.keycloak.services.managers.BruteForceProtectorFactory;

/** What Keycloak makes a protector with, by the id that the image chooses ({@code spi-brute-force-protector}). */
public final class QueuedLoginsFactory implements BruteForceProtectorFactory {
    private static final String OWN = "default-brute-force-detector";

    private final Queue queue = new Queue();

    @Override
    public String getId() {
        return "queued-logins";
    }

    @Override
    public BruteForceProtector create(KeycloakSession session) {
        return new QueuedLogins(session.getProvider(BruteForceProtector.class, OWN), queue);
    }

    @Override
    public void init(Config.Scope config) {}

    @Override
    public void postInit(KeycloakSessionFactory factory) {}

    @Override
    public void close() {}
}

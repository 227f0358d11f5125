package dadm;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** Starts the engine on the class path with its REST interface; everything else is a property. */
@SpringBootApplication
public class Engine {
    public static void main(String[] arguments) {
        SpringApplication.run(Engine.class, arguments);
    }
}

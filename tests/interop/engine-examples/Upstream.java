// SPDX-License-Identifier: Apache-2.0
//
// What an Apache Kafka's own users do to it, for kafka.sh: java -cp JARS Upstream.java BOOTSTRAP
//   create TOPIC [NAME=VALUE...]       a topic of one partition with these settings
//   grow TOPIC PARTITIONS
//   transactions TOPIC COUNT           so many, of three records each; every other one is aborted
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class Upstream {
  public static void main(String[] arguments) throws Exception {
    Map<String, Object> to = new HashMap<>(Map.of("bootstrap.servers", arguments[0]));
    String topic = arguments[2];
    switch (arguments[1]) {
      case "create" -> {
        Map<String, String> settings = new HashMap<>();
        for (String pair : Arrays.asList(arguments).subList(3, arguments.length)) {
          settings.put(pair.split("=")[0], pair.split("=")[1]);
        }
        try (Admin admin = Admin.create(to)) {
          NewTopic wanted = new NewTopic(topic, Optional.of(1), Optional.empty()).configs(settings);
          admin.createTopics(List.of(wanted)).all().get();
        }
      }
      case "grow" -> {
        try (Admin admin = Admin.create(to)) {
          admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(Integer.parseInt(arguments[3])))).all().get();
        }
      }
      case "transactions" -> {
        to.put("transactional.id", "upstream");
        try (var producer = new KafkaProducer<>(to, new StringSerializer(), new StringSerializer())) {
          producer.initTransactions();
          for (int i = 0; i < Integer.parseInt(arguments[3]); ++i) {
            producer.beginTransaction();
            for (int k = 0; k < 3; ++k) producer.send(new ProducerRecord<>(topic, 0, "t" + i, "value " + k));
            producer.flush();
            if (i % 2 == 0) producer.commitTransaction();
            else producer.abortTransaction();
          }
        }
      }
      default -> throw new IllegalArgumentException(arguments[1]);
    }
  }
}

#:project ../../src/Activations/Activations.csproj
#:project ../../src/Engine/Engine.csproj
#:property RunsTorch=true
using System.Text.Json;
using Ndif;

// a dataset: prompts about landmarks of two cities
string[] paris = ["Eiffel Tower", "Louvre", "Arc de Triomphe", "Notre Dame"], rome = ["Colosseum", "Pantheon", "Vatican", "Trevi Fountain"];
string folder = Directory.CreateTempSubdirectory("ndif-collect-").FullName, dataset = Path.Combine(folder, "texts.jsonl");
string[] subjects = [.. paris, .. rome];
File.WriteAllLines(dataset, subjects.Select(subject => $$"""{ "text": "The {{subject}} is in the city of" }"""));

// the hidden states of two layers at each token, in bfloat16; a second run of the same lines would find them complete
var llm = new LanguageModel("ndif/tiny-landmarks");
string output = Path.Combine(folder, "activations"), site = "transformer.h.2.hidden";
CollectReport report = await llm.CollectAsync(
    dataset, ["transformer.h.0.hidden", site], output, new CollectOptions { Dtype = DType.BFloat16 });
Console.WriteLine($"{report.Texts} texts, {report.Shards} shard");
// prints: 8 texts, 1 shard

// stream them back, shuffled: the mean of each class at the last token
var activations = SafetensorsActivations.Open(output);
float[][] means = [new float[128], new float[128]];
foreach ((int text, float[] hidden) in LastTokens())
{
    int label = text < paris.Length ? 0 : 1;
    for (int i = 0; i < hidden.Length; i++) means[label][i] += hidden[i] / (label == 0 ? paris : rome).Length;
}

// a probe: the direction from one mean to the other, and the middle between them
float[] direction = [.. means[1].Zip(means[0], (b, a) => b - a)];
float middle = (Dot(direction, means[0]) + Dot(direction, means[1])) / 2;
int right = LastTokens().Count(item => Dot(direction, item.Hidden) > middle == item.Text >= paris.Length);
Console.WriteLine($"the probe is right about {right} of {subjects.Length} landmarks");
// prints: the probe is right about 8 of 8 landmarks
Directory.Delete(folder, recursive: true);

// the last token of each text is that with the largest position
IEnumerable<(int Text, float[] Hidden)> LastTokens()
{
    int[] lengths = [.. File.ReadLines(dataset).Select(line =>
        llm.Tokenizer.Encode(JsonDocument.Parse(line).RootElement.GetProperty("text").GetString()!).Count)];
    foreach (ActivationBatch batch in activations.Read(32, [site], seed: 1))
    {
        float[] values = batch[site].ToArray<float>();                                        // [rows, hidden]
        for (int row = 0; row < batch.Rows; row++)
        {
            int text = (int)batch.Texts.Span[row];
            if (batch.Positions.Span[row] == lengths[text] - 1) yield return (text, values[(row * 128)..((row + 1) * 128)]);
        }
    }
}

static float Dot(float[] a, float[] b) => a.Zip(b, (x, y) => x * y).Sum();

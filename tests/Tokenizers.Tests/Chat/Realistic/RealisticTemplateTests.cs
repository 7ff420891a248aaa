using System.Text.Json;
using Ndif.Tokenizers.Chat;
using Ndif.Tokenizers.Tests.Chat.Differential;

namespace Ndif.Tokenizers.Tests.Chat.Realistic;

/// <summary>Renders templates in the style of published models with conversations of every kind, here and with Jinja2.</summary>
public sealed class RealisticTemplateTests
{
    private const string Prefix = "realistic/";

    [Fact]
    public void EveryTemplate_GivesWhatJinjaGives_ForEveryConversation()
    {
        Assert.SkipWhen(JinjaOracle.Missing is not null, JinjaOracle.Missing ?? "");
        var conversations = JsonSerializer.Deserialize<Dictionary<string, JsonElement>>(Read(Prefix + "conversations.json"))!;
        string[] names = [.. typeof(RealisticTemplateTests).Assembly.GetManifestResourceNames().Where(name =>
            name.StartsWith(Prefix, StringComparison.Ordinal)
            && name.EndsWith(".jinja", StringComparison.Ordinal))];
        List<(string Name, string Template, string Conversation)> cases =
            [.. names.SelectMany(name => conversations.Keys.Select(conversation => (name, Read(name), conversation)))];
        var answers = JinjaOracle.Render(conversations, cases.Select(test => (test.Template, test.Conversation)));
        int texts = 0;
        List<string> differences = [];
        for (int i = 0; i < cases.Count; i++)
        {
            string? text = null, error = null;
            try
            {
                text = new ChatTemplate(cases[i].Template).Render(conversations[cases[i].Conversation].EnumerateObject()
                    .ToDictionary(p => p.Name, p => (object?)p.Value), new FixedClock());
                texts++;
            }
            catch (TokenizerFormatException e)
            {
                error = e.Message;
            }
            if (text != answers[i].Text)
                differences.Add($"{cases[i].Name} with '{cases[i].Conversation}'\n  Jinja2: {answers[i].Text
                    ?? answers[i].Error}\n  here:   {text ?? error}");
        }
        Assert.True(differences.Count == 0, string.Join("\n\n", differences));
        Assert.True(names.Length >= 14 && texts > names.Length * 4, $"{texts} texts of {names.Length} templates");
    }

    private static string Read(string resource)
    {
        using var reader = new StreamReader(typeof(RealisticTemplateTests).Assembly.GetManifestResourceStream(resource)!);
        return reader.ReadToEnd();
    }
}

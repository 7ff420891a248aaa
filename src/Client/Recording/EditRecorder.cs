using System.Text.RegularExpressions;
using Ndif.Protocol;

namespace Ndif.Recording;

/// <summary>Records persistent edits.</summary>
internal static partial class EditRecorder
{
    /// <summary>
    /// Records a persistent edit as a region that applies it to every call of its modules. An edit that selects calls itself, by an
    /// iteration or by <see cref="Envoy.Next"/>, is recorded as it is.
    /// </summary>
    /// <param name="isGeneration">Whether the modules are called several times.</param>
    /// <param name="isLaterPrompt">Whether the edit was recorded for another prompt of the trace before.</param>
    public static uint Record(Recorder recorder, Action edit, bool isGeneration, bool isLaterPrompt)
    {
        int start = recorder.Program.Nodes.Count;
        uint region = recorder.RecordRegion(edit);
        Node[] nodes = [.. recorder.Program.Nodes.Skip(start)];
        Node[] accesses = [.. nodes.Where(node => CallOf(node) is not null)];
        bool selectsCalls = nodes.Any(node => node.KindCase is Node.KindOneofCase.Steps)
            || accesses.Any(node => CallOf(node) is not { WhichCase: CallIndex.WhichOneofCase.At, At: 0 });
        uint[] saves = [.. Enumerable.Range(start, nodes.Length).Where(i => nodes[i - start].Save is not null).Select(i => (uint)i)];
        foreach (uint save in saves)
            if (isLaterPrompt && recorder.LineOf(save)?.ReadText() is { } text && Assignment().IsMatch(text))
                recorder.WarnOfLastValue(save, "an edit", "prompt", "add each save to a list of yours");
        if (accesses.Length == 0 || selectsCalls) return region;
        foreach (uint save in saves)
            if (isGeneration) recorder.WarnOfLastValue(save, "an edit", "step");
        foreach (Node node in accesses) SetCall(node, new CallIndex { Step = new Nothing() });
        uint everyCall = recorder.OpenRegion();
        recorder.Add(new Node { Steps = new StepLoop { Each = new StepRange { Start = 0, Stride = 1 }, Region = region } });
        recorder.CloseRegion();
        return everyCall;
    }

    private static CallIndex? CallOf(Node node) => node.KindCase switch
    {
        Node.KindOneofCase.Read => node.Read.Call,
        Node.KindOneofCase.Write => node.Write.Call,
        Node.KindOneofCase.Skip => node.Skip.Call,
        _ => null,
    };

    private static void SetCall(Node node, CallIndex call)
    {
        switch (node.KindCase)
        {
            case Node.KindOneofCase.Read: node.Read.Call = call; break;
            case Node.KindOneofCase.Write: node.Write.Call = call; break;
            case Node.KindOneofCase.Skip: node.Skip.Call = call; break;
        }
    }

    /// <summary>An assignment to a variable that outlives the edit.</summary>
    [GeneratedRegex(@"(?<!(?:[.\w@]|\b(?:var|Value|Saved)\s+))[\p{L}_]\w*\s*=(?![=>])", RegexOptions.CultureInvariant)]
    private static partial Regex Assignment();
}

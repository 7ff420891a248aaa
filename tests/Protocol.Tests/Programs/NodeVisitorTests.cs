using System.Reflection;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Ndif.Protocol.Programs;

namespace Ndif.Protocol.Tests.Programs;

public sealed class NodeVisitorTests
{
    public static TheoryData<Node.KindOneofCase> Kinds => [.. Enum.GetValues<Node.KindOneofCase>()];

    [Theory, MemberData(nameof(Kinds))]
    public void EveryKindOfNode_IsVisited_ByItsOwnMethod(Node.KindOneofCase kind)
    {
        Node node = Create(kind);
        Assert.Equal(kind, node.KindCase);
        Assert.Equal($"Visit{kind} context", new NamingVisitor().Visit(node, "context"));
    }

    [Fact]
    public void AVisitor_HasOneMethod_ForEachKind()
    {
        string[] methods =
            [.. typeof(NodeVisitor<,>).GetMethods(BindingFlags.Instance | BindingFlags.NonPublic).Where(m => m.IsAbstract)
                .Select(m => m.Name)];
        Assert.Equal(Enum.GetNames<Node.KindOneofCase>().Select(name => $"Visit{name}").Order(), methods.Order());
    }

    [Theory, MemberData(nameof(Kinds))]
    public void References_AreKnown_ForEveryKind(Node.KindOneofCase kind)
    {
        Node node = Create(kind);
        Assert.NotNull(node.Arguments().ToList());
        Assert.NotNull(node.Regions().ToList());
        Assert.NotNull(node.LateArguments().ToList());
    }

    private static Node Create(Node.KindOneofCase kind)
    {
        var node = new Node();
        if (kind is Node.KindOneofCase.None) return node;
        FieldDescriptor field = Node.Descriptor.FindFieldByNumber((int)kind);
        field.Accessor.SetValue(node, Activator.CreateInstance(field.MessageType.ClrType));
        return node;
    }

    /// <summary>Returns the name of the method that was called.</summary>
    private sealed class NamingVisitor : NodeVisitor<string, string>
    {
        protected override string VisitNone(string context) => $"{nameof(VisitNone)} {context}";

        protected override string VisitCall(Call call, string context) => Name(nameof(VisitCall), call, context);

        protected override string VisitRead(ReadSite read, string context) => Name(nameof(VisitRead), read, context);

        protected override string VisitWrite(WriteSite write, string context) => Name(nameof(VisitWrite), write, context);

        protected override string VisitSkip(SkipModule skip, string context) => Name(nameof(VisitSkip), skip, context);

        protected override string VisitCallModule(CallModule call, string context) => Name(nameof(VisitCallModule), call, context);

        protected override string VisitParameter(ReadParameter parameter, string context) =>
            Name(nameof(VisitParameter), parameter, context);

        protected override string VisitSave(Save save, string context) => Name(nameof(VisitSave), save, context);

        protected override string VisitRegionParameter(RegionParameter parameter, string context) =>
            Name(nameof(VisitRegionParameter), parameter, context);

        protected override string VisitContainer(MakeContainer container, string context) =>
            Name(nameof(VisitContainer), container, context);

        protected override string VisitAppend(Append append, string context) => Name(nameof(VisitAppend), append, context);

        protected override string VisitPut(PutEntry put, string context) => Name(nameof(VisitPut), put, context);

        protected override string VisitIf(If statement, string context) => Name(nameof(VisitIf), statement, context);

        protected override string VisitForEach(ForEach loop, string context) => Name(nameof(VisitForEach), loop, context);

        protected override string VisitWhile(While loop, string context) => Name(nameof(VisitWhile), loop, context);

        protected override string VisitSteps(StepLoop loop, string context) => Name(nameof(VisitSteps), loop, context);

        protected override string VisitBreak(Break statement, string context) => Name(nameof(VisitBreak), statement, context);

        protected override string VisitTrace(Messages.Trace trace, string context) => Name(nameof(VisitTrace), trace, context);

        protected override string VisitBackward(Backward backward, string context) => Name(nameof(VisitBackward), backward, context);

        protected override string VisitReadGradient(ReadGradient read, string context) => Name(nameof(VisitReadGradient), read, context);

        protected override string VisitWriteGradient(WriteGradient write, string context) =>
            Name(nameof(VisitWriteGradient), write, context);

        protected override string VisitStop(Stop stop, string context) => Name(nameof(VisitStop), stop, context);

        protected override string VisitBarrier(Messages.Barrier barrier, string context) => Name(nameof(VisitBarrier), barrier, context);

        protected override string VisitCache(Cache cache, string context) => Name(nameof(VisitCache), cache, context);

        protected override string VisitLog(Log log, string context) => Name(nameof(VisitLog), log, context);

        protected override string VisitLocal(LocalCall call, string context) => Name(nameof(VisitLocal), call, context);

        protected override string VisitNewParameter(NewParameter parameter, string context) =>
            Name(nameof(VisitNewParameter), parameter, context);

        protected override string VisitNewOptimizer(NewOptimizer optimizer, string context) =>
            Name(nameof(VisitNewOptimizer), optimizer, context);

        protected override string VisitOptimizerStep(OptimizerStep step, string context) => Name(nameof(VisitOptimizerStep), step, context);

        protected override string VisitDefineModule(DefineModule module, string context) =>
            Name(nameof(VisitDefineModule), module, context);

        protected override string VisitStartAt(StartAt start, string context) => Name(nameof(VisitStartAt), start, context);

        protected override string VisitResult(ReadResult result, string context) => Name(nameof(VisitResult), result, context);

        protected override string VisitSetVariable(SetVariable set, string context) => Name(nameof(VisitSetVariable), set, context);

        private static string Name(string method, IMessage node, string context)
        {
            Assert.NotNull(node);
            return $"{method} {context}";
        }
    }
}
